"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations

from tunix_core.contributions import EvaluatorContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_evaluators() -> list[EvaluatorContribution]:
    return [
        EvaluatorContribution(
            name="math-verify",
            summary="The answer equals the reference as SymPy sees it, by math-verify",
            factory="tunix_math_verify.evaluator:MathVerify",
            config="tunix_math_verify.config:MathVerifyConfig",
        )
    ]
