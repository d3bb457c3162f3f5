"""Commands of the documents that their test does not run, and what runs them instead."""

from __future__ import annotations

from attrs import frozen


@frozen
class Elsewhere:
    """Commands that are run by something else.

    Args:
        command: Regular expression that the whole command matches, remarks left out.
        reason: Why it is not run with the others.
        by: What runs it: ``make TARGET``, or ``FILE::TEST``.
    """

    command: str
    reason: str
    by: str


JAX = "plugins/jax/tests"
ELSEWHERE = (
    Elsewhere("make install", "everything is installed here already", "make install"),
    Elsewhere("make demo", "it trains for minutes", "make demo"),
    Elsewhere("make test", "this is part of it", "make test"),
    Elsewhere("make lint", "it looks at the code, not at a workspace", "make lint"),
    Elsewhere("make test-full", "this is part of it", "make test-full"),
    Elsewhere("make (test-)?wheels", "it takes minutes", "make test-wheels"),
    Elsewhere(
        "make wheelhouse .*",
        "it takes minutes",
        "tests/test_wheelhouse.py::test_a_host_without_network_keeps_its_jax",
    ),
    Elsewhere("tunix-rt( --workspace demo-workspace)? demo", "it trains for minutes", "make demo"),
    Elsewhere(
        "(JAX_PROCESS_ID=1 )?tunix-rt( --workspace /shared/workspace)? runs join .*",
        "it waits for a run on another host",
        "tests/test_training_commands.py::test_another_host_joins_by_a_command",
    ),
    Elsewhere(
        "tunix-rt runs start .* --set model_id=gemma-2-9b",
        "it waits for other hosts",
        f"{JAX}/test_parallel.py::test_two_processes_give_the_losses_of_one_and_one_model",
    ),
)

# Commands that take what not every machine has; only `make test-full` runs them.
FULL = ("tunix-rt fit .* --topology v5e.*",)

# Sizes that take minutes on a CPU; `make test-full` runs these commands as they stand too.
SMALLER = {
    r"max_length=\d{4,}": "max_length=256",
    r"model_id=small\b": "model_id=tiny",
    r"fit --model small\b": "fit --model tiny",
}
