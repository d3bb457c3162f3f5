"""The core's own contributions, offered through the same hooks as everyone else's."""

from __future__ import annotations

from tunix_core.contributions import (
    CommandContribution,
    EvaluatorContribution,
    ExecutorContribution,
    RegistryContribution,
    SourceContribution,
)
from tunix_core.hookspecs import hookimpl


@hookimpl
def tunix_sources() -> list[SourceContribution]:
    return [
        SourceContribution(
            name="jsonl",
            summary="Traces as JSON lines, plain or compressed with gzip or zstd",
            factory="tunix_core.traces.jsonl_source:JsonlSource",
            suffixes=(".jsonl", ".jsonl.gz", ".jsonl.zst"),
        )
    ]


@hookimpl
def tunix_evaluators() -> list[EvaluatorContribution]:
    return [
        EvaluatorContribution(
            name="answer_correctness",
            summary="The extracted answer equals the reference, compared by type",
            factory="tunix_core.evaluators.answer_correctness:AnswerCorrectness",
            version="2",
        ),
        EvaluatorContribution(
            name="show_your_work",
            summary="One reasoning block, one answer block, closed, nothing outside, stop reached",
            factory="tunix_core.evaluators.show_your_work:ShowYourWork",
        ),
        EvaluatorContribution(
            name="step_validity",
            summary="Every step shown in the reasoning holds",
            factory="tunix_core.evaluators.step_validity:StepValidity",
            version="3",
            tools=True,
        ),
    ]


@hookimpl
def tunix_registries() -> list[RegistryContribution]:
    return [
        RegistryContribution(
            name="local",
            summary="Files on this machine, addressed by their content",
            factory="tunix_core.models.local_registry:LocalRegistry",
        )
    ]


@hookimpl
def tunix_executors() -> list[ExecutorContribution]:
    return [
        ExecutorContribution(
            name="local",
            summary="Child processes on this machine",
            factory="tunix_core.runs.local_executor:LocalExecutor",
            default=True,
        )
    ]


@hookimpl
def tunix_commands() -> list[CommandContribution]:
    return [
        CommandContribution(name=name, summary=summary, factory=f"tunix_core.cli.{module}:command")
        for name, module, summary in (
            ("demo", "demo", "Run the whole line on dev-reasoning-v1, small preset, CPU"),
            (
                "doctor",
                "doctor",
                "Say what is installed, which devices there are, and what is missing",
            ),
            ("plugins", "plugins", "List, show and check plugins"),
            ("traces", "traces", "Import, generate, list and compare traces"),
            ("datasets", "datasets", "Build, verify and export datasets"),
            ("runs", "runs", "Start, resume, watch and compare training runs"),
            ("eval", "evaluations", "Evaluate runs and show the leaderboard"),
            ("regress", "regressions", "Set baselines and check runs against them"),
            ("tune", "tuning", "Search for the settings with which training does best"),
            ("models", "models", "Promote, verify and download models"),
            ("worker", "worker", "Execute pending runs until stopped"),
        )
    ]
