"""What a test shares with the data that was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tunix_core import Workspace
from tunix_core.cli import cli
from tunix_core.errors import NotFoundError
from tunix_core.evaluators.arithmetic import equations
from tunix_core.records import Contamination, Step, Trace

LONG = "Ada walks from the mill to the old bridge and back again on every day but Sunday"
TRAIN = (
    ("How much are 3 pens at 4 each?", "3 * 4 = 12", "12"),
    ("What is 2 plus 5?", "2 + 5 = 7", "7"),
    (f"{LONG}. How often in a week of 7 days?", "no equation here", "6 times"),
    ("Which comes first?", "Bo before Cy\nAda before Bo", "Ada"),
)
Item = tuple[str, str, str]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Holds ``train-v1``."""
    made = Workspace(tmp_path / "workspace")
    build(made, "train", TRAIN)
    return made


def build(workspace: Workspace, name: str, items: tuple[Item, ...]) -> list[str]:
    ids = []
    for prompt, work, answer in items:
        steps = tuple(Step(i, "compute", line) for i, line in enumerate(work.split("\n")))
        ids.append(workspace.traces.create(Trace(prompt, answer, steps, {"of": name})).id)
    workspace.datasets.build(name, "v1", trace_ids=ids)
    return ids


def compare(workspace: Workspace, *items: Item) -> Contamination:
    build(workspace, "test", items)
    return workspace.datasets.contamination("train-v1", "test-v1")


@pytest.mark.parametrize(
    ("item", "counts"),
    [
        (("QUESTION:  what is 2  plus 5", "5 - 2 = 3", "3"), (1, 0, 0)),
        ((f"Is it so: {LONG.upper()}?", "unlike", "yes"), (0, 1, 0)),
        (("How many days?", "unlike", f"{LONG}."), (0, 0, 0)),
        (("A box has 4 rows of 3 eggs. How many?", "4 × 3 = 12 eggs", "12"), (0, 0, 1)),
        (("A box has 4 rows of 3 eggs. Odd?", "4 × 3 = 12 eggs", "no"), (0, 0, 0)),
        (("Who is the first of them?", "ADA before  Bo\nBo before Cy", "ada"), (0, 0, 1)),
        (("Who is the last of them?", "Ada before Bo\nBo before Di", "Di"), (0, 0, 0)),
        (("What is 5 minus 2?", "5 - 2 = 3", "3"), (0, 0, 0)),
        ((LONG, "2 + 5 = 7\nso 7 = 5 + 2", "7"), (0, 1, 1)),
    ],
)
def test_what_is_shared_is_found_by_its_measure(
    workspace: Workspace, item: Item, counts: tuple[int, int, int]
) -> None:
    found = compare(workspace, item)
    assert found.counts == dict(zip(("exact", "ngram", "same_work"), counts, strict=True))
    assert found.n_items == 1
    assert found.items("exact", "ngram", "same_work") == {
        match.test_item for shared in found.shared for match in shared.matches
    }


def test_short_questions_are_not_compared_by_words_in_a_row(workspace: Workspace) -> None:
    found = compare(workspace, ("Short?", "1 + 1 = 2", "2"), (LONG, "1 + 2 = 3", "3"))
    assert [shared.compared for shared in found.shared] == [2, 1, 2]


def test_the_training_item_is_named(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="nowhere-v1"):
        workspace.datasets.contamination("nowhere-v1", "train-v1")
    ids = build(workspace, "test", (("What is 5 and 2?", "5 + 2 = 7", "7"),))
    (match,) = workspace.datasets.contamination("train-v1", "test-v1").by("same_work").matches
    assert match.test_item == ids[0]
    assert workspace.traces.get(match.train_item).trace.prompt == "What is 2 plus 5?"


def test_a_dataset_shares_everything_with_itself(workspace: Workspace) -> None:
    found = workspace.datasets.contamination("train-v1", "train-v1")
    for shared in found.shared:
        assert len(shared.matches) == shared.compared
        assert all(match.test_item == match.train_item for match in shared.matches)


def test_the_command_shows_it(counting_workspace: Workspace) -> None:
    workspace = counting_workspace
    run = workspace.runs.create("numbers-v1", "counting", {"steps": 3})
    workspace.worker().execute(run.id)

    def said(*options: str) -> str:
        place = ["--workspace", str(workspace.paths.root)]
        command = [*place, "eval", "contamination", "numbers-v1", "numbers-v1", *options]
        done = CliRunner().invoke(cli, command, obj={"plugins": workspace.plugins})
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "exact      20     20  100.0%" in said()
    workspace.predictions.create(run.id, "numbers-v1")
    data = json.loads(said("--run", run.id, "--json"))
    assert data["score_without"]["exact"]["n"] == 0
    assert data["score_without"]["ngram"]["n"] == 20
    assert data["train_sha256"] == data["test_sha256"]
    assert [shared["measure"] for shared in data["shared"]] == ["exact", "ngram", "same_work"]


# One form for all orders.

Tree = tuple[str, list["Tree"]] | int
LEAVES = st.integers(0, 99)


def nodes(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.tuples(st.sampled_from("+*"), st.lists(children, min_size=2, max_size=3))


def written(tree: Tree, order: Callable[[list[str]], list[str]]) -> str:
    if isinstance(tree, int):
        return str(tree)
    joined, parts = tree
    return f"({f' {joined} '.join(order([written(part, order) for part in parts]))})"


@given(st.recursive(LEAVES, nodes, max_leaves=8), st.integers())
def test_the_order_of_operands_makes_no_other_work(tree: Tree, seed: int) -> None:
    random = Random(seed)
    texts = [
        f"{written(tree, order)} - 7 = 3"
        for order in (list, lambda parts: random.sample(parts, len(parts)))
    ]
    (first,), (other,) = (list(equations(text)) for text in texts)
    assert first.canonical == other.canonical


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3 x $4.50 + 2 = $15.50", "15.5 = 2 + 4.5*3", True),
        ("10 - (2 + 3) = 5", "10-(3+2)=5", True),
        ("3 squared = 9", "3² = 9", True),
        ("8 - 5 = 3", "5 - 8 = 3", False),
        ("8 / 2 = 4", "2 / 8 = 4", False),
        ("2 ^ 3 = 8", "3 ^ 2 = 8", False),
        ("10 - 2 + 3 = 11", "10 - (2 + 3) = 11", False),
        ("12 / 2 * 3 = 18", "12 / (2 * 3) = 18", False),
        ("7 > 2 + 3", "7 > 3 + 2", True),
        ("7 > 5 + 0", "5 + 0 > 7", False),
        ("20% of 50 = 10", "50 * 20% = 10", True),
        ("17 mod 5 = 2", "5 mod 17 = 2", False),
    ],
)
def test_what_is_the_same_work_and_what_is_not(one: str, other: str, same: bool) -> None:
    first, second = (next(equations(text)).canonical for text in (one, other))
    assert (first == second) == same
