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


@frozen
class Uncompared:
    """A block of text that is not compared with what a command prints.

    Args:
        document: Where it stands.
        begins: How it begins.
        reason: Why not.
    """

    document: str
    begins: str
    reason: str


JAX = "plugins/jax/tests"
JUDGES = "plugins/judges/tests/test_llm_judge.py"
OFFLINE = "tests/test_wheelhouse.py::test_a_host_without_network_keeps_its_jax"
ELSEWHERE = (
    Elsewhere("make install", "everything is installed here already", "make install"),
    Elsewhere("make demo", "it trains for minutes", "make demo"),
    Elsewhere("make test", "this is part of it", "make test"),
    Elsewhere("make lint", "it looks at the code, not at a workspace", "make lint"),
    Elsewhere("make test-full", "this is part of it", "make test-full"),
    Elsewhere("make (test-)?wheels", "it takes minutes", "make test-wheels"),
    Elsewhere("make wheelhouse .*", "it takes minutes", OFFLINE),
    Elsewhere("pip freeze .* > host.txt", "it asks the host of a notebook", OFFLINE),
    Elsewhere("pip install --no-index .*", "it needs the wheelhouse", OFFLINE),
    Elsewhere(
        "make reference",
        "it writes into the repository",
        "tests/test_reference.py::test_the_pages_are_up_to_date",
    ),
    Elsewhere(
        "make notebooks",
        "it writes into the repository",
        "tests/test_notebooks.py::test_the_pair_says_the_same",
    ),
    Elsewhere("tunix-rt( --workspace demo-workspace)? demo", "it trains for minutes", "make demo"),
    Elsewhere(
        "(JAX_PROCESS_ID=1 )?tunix-rt( --workspace /shared/workspace)? runs join .*",
        "it waits for a run on another host",
        "tests/test_training_commands.py::test_another_host_joins_by_a_command",
    ),
    Elsewhere(
        "tunix-rt eval run .* -e llm-judge .*",
        "it needs a model that judges",
        f"{JUDGES}::test_a_command_judges_a_run_several_items_at_a_time",
    ),
    Elsewhere(
        "tunix-rt eval pairwise .*",
        "it needs a model that judges",
        f"{JUDGES}::test_two_runs_are_compared_in_both_orders",
    ),
    Elsewhere(
        "tunix-rt runs start .* --set model_id=gemma-2-9b",
        "it waits for other hosts",
        f"{JAX}/test_parallel.py::test_two_processes_give_the_losses_of_one_and_one_model",
    ),
)

UNCOMPARED = (
    Uncompared(
        "README.md",
        "[6] Training small from scratch on 21000 items",
        "the demo and the tests take minutes, and say how many",
    ),
    Uncompared(
        "README.md",
        "Three held-out items, as the trained model answered them",
        "the demo takes minutes, and another processor gives other last digits",
    ),
    Uncompared("README.md", "source ─┐", "it is a drawing"),
)

# Documents whose commands together take minutes; only `make test-full` runs them.
LONG = ("docs/cli.md",)

# Commands that take what not every machine has; only `make test-full` runs them.
FULL = ("tunix-rt fit .* --topology v5e.*",)

# What takes long on a CPU is tried with less; `make test-full` runs these commands as they stand.
SMALLER = {
    r"runs start (?!.*--dry-run)": "runs start --dry-run ",
    r"fit --model small\b": "fit --model tiny",
}
