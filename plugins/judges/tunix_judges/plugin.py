"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations

from tunix_core.contributions import EvaluatorContribution
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_evaluators() -> list[EvaluatorContribution]:
    return [
        EvaluatorContribution(
            name="llm-judge",
            summary="A language model behind an OpenAI-compatible endpoint grades by a rubric",
            factory="tunix_judges.judge:LlmJudge",
            config="tunix_judges.config:JudgeConfig",
            keeps_cache=True,
        ),
        EvaluatorContribution(
            name="gemma-judge",
            summary="A language model behind RediAI grades the shown work and the answer",
            factory="tunix_judges.gemma:GemmaJudge",
            config="tunix_judges.config:RediaiConfig",
            keeps_cache=True,
        ),
        EvaluatorContribution(
            name="mock-judge",
            summary="A number from a digest, to try the line out without a judge; not a grade",
            factory="tunix_judges.mock:MockJudge",
            grade=False,
        ),
    ]
