"""math-verify compares in a process of its own, which may fail without harm."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import psutil
import pytest

from tunix_core.contributions import EVALUATOR
from tunix_core.plugins import Plugins
from tunix_core.protocols import Evaluator
from tunix_core.testing.evaluator import EvaluatorConformance, Sample, completion, item
from tunix_math_verify import plugin
from tunix_math_verify.comparer import Comparer
from tunix_math_verify.config import MathVerifyConfig
from tunix_math_verify.evaluator import MathVerify

JUDGE = MathVerify()
ENDLESS = "9^{9^{9^{9^{9}}}}"


class TestMathVerify(EvaluatorConformance):
    def make(self) -> Evaluator:
        return JUDGE

    def deserving(self) -> Sequence[Sample]:
        return [
            (item("q", "3/4"), completion("\\frac{3}{4}", prompt="q")),
            (item("q", "x^2+2x+1"), completion("$(x+1)^2$", prompt="q")),
            (item("q", "42"), completion("42.0", prompt="q")),
        ]

    def undeserving(self) -> Sequence[Sample]:
        return [
            (item("q", "42"), completion("142", prompt="q")),
            (item("q", "42"), completion("42 or 43", prompt="q")),
            (item("q", "42"), completion("", prompt="q")),
        ]


def test_a_comparison_without_end_is_ended_and_the_next_one_answered() -> None:
    judge = MathVerify(MathVerifyConfig(time_limit_s=1.0, memory_mib=1024))
    asked = item("q", "42")
    scores = [judge.score(asked, completion(text, prompt="q")) for text in (ENDLESS, "42")]
    assert [score.value for score in scores] == [0.0, 1.0]
    assert judge.aggregate(scores).metrics == {"unfinished": 1.0}


def test_a_process_that_was_killed_is_replaced_and_none_outlives_its_judge() -> None:
    comparer = Comparer(60.0, 2048)
    assert comparer.same("1/2", "0.5")
    (child,) = [
        process
        for process in psutil.Process().children()
        if "tunix_math_verify.worker" in process.cmdline() and "2048" in process.cmdline()
    ]
    child.kill()
    child.wait()
    assert comparer.same("1/2", "0.5") is None
    assert comparer.same("1/2", "0.5")
    children = psutil.Process().children()
    del comparer
    gc.collect()
    gone = [process for process in children if not process.is_running()]
    assert len(gone) == 1


def test_the_plugin_offers_it() -> None:
    (contribution,) = plugin.tunix_evaluators()
    assert contribution.name == "math-verify"
    assert Plugins.of(plugin).find(EVALUATOR, "math-verify") is not None


@pytest.mark.parametrize("settings", [{"time_limit_s": 0.0}, {"memory_mib": 1}])
def test_settings_without_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        MathVerifyConfig(**settings)  # type: ignore[arg-type]
