"""Datasets: what is selected, that it never changes, and that changes are noticed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tunix_core import Workspace
from tunix_core.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from tunix_core.records import Step, Trace
from tunix_core.traces.exports import FORMATS


def trace(number: int, **meta: Any) -> Trace:
    return Trace(f"Question {number}?", str(number), (Step(0, "compute", f"{number}"),), meta)


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    with Workspace(tmp_path / "workspace") as opened:
        opened.traces.create_many(
            [trace(n, source="old", colour=("red", "blue")[n % 2], n=n) for n in range(50)]
        )
        opened.traces.create_many([trace(n, source="new", level=1.5) for n in range(50, 80)])
        yield opened


def answers(workspace: Workspace, key: str) -> list[int]:
    return [int(item.answer) for item in workspace.datasets.items(key)]


def test_latest_takes_the_newest_that_match_at_any_depth(workspace: Workspace) -> None:
    built = workspace.datasets.build("reds", "v1", filters={"colour": "red"}, limit=5)
    assert answers(workspace, "reds-v1") == [48, 46, 44, 42, 40]
    assert built.provenance["stored_count"] == 80
    assert built.provenance["matched_count"] == 25
    assert built.filters == {"colour": "red"}


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"source": "old"}, 50),
        ({"source": "old", "colour": "blue"}, 25),
        ({"n": 7}, 1),
        ({"level": 1.5}, 30),
        ({}, 80),
    ],
)
def test_filters_are_equality_on_meta(
    workspace: Workspace, filters: dict[str, Any], count: int
) -> None:
    assert workspace.datasets.build("all", "v1", filters=filters).trace_count == count


@pytest.mark.parametrize("filters", [{"n": "7"}, {"source": "ol"}, {"nothing": 1}, {"n": True}])
def test_a_filter_that_matches_nothing_is_an_error_that_leaves_nothing(
    workspace: Workspace, filters: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="no trace matches"):
        workspace.datasets.build("none", "v1", filters=filters)
    assert workspace.datasets.list() == []
    assert list(workspace.paths.datasets.iterdir()) == []


def test_random_is_a_sample_that_depends_on_the_seed_alone(workspace: Workspace) -> None:
    drawn = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        workspace.datasets.build(name, "v1", strategy="random", seed=seed, limit=20)
        drawn[name] = answers(workspace, f"{name}-v1")
    assert drawn["a"] == drawn["b"] != drawn["c"]
    assert len(set(drawn["a"])) == 20
    assert drawn["a"] != sorted(drawn["a"], reverse=True)
    with pytest.raises(UsageError, match="seed"):
        workspace.datasets.build("d", "v1", strategy="random")


def test_explicit_ids_keep_their_order(workspace: Workspace) -> None:
    page = workspace.traces.list(limit=80).items
    chosen = [page[n].id for n in (3, 70, 11)]
    built = workspace.datasets.build("chosen", "v1", trace_ids=chosen)
    assert built.trace_ids == tuple(chosen)
    assert built.selection_strategy == "explicit"
    assert answers(workspace, "chosen-v1") == [76, 9, 68]
    with pytest.raises(NotFoundError, match="1 of the traces"):
        workspace.datasets.build("other", "v1", trace_ids=[*chosen, "nothing"])
    with pytest.raises(UsageError, match="twice"):
        workspace.datasets.build("other", "v1", trace_ids=[chosen[0], chosen[0]])


def test_one_import_is_a_selection_of_its_own(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    line = {"prompt": "p", "final_answer": "90", "steps": [{"i": 0, "type": "t", "content": "c"}]}
    file.write_text(json.dumps(line) + "\n")
    report = workspace.traces.import_file(file)
    workspace.datasets.build("mine", "v1", import_id=report.import_id)
    assert answers(workspace, "mine-v1") == [90]
    with pytest.raises(NotFoundError, match="import"):
        workspace.datasets.build("mine", "v2", import_id="unknown")


@pytest.mark.parametrize("strategy", ["latest", "random"])
def test_a_mix_is_exact_and_evenly_laid_out(workspace: Workspace, strategy: Any) -> None:
    workspace.datasets.build(
        "mix", "v1", mix={"old": 0.7, "new": 0.3}, strategy=strategy, seed=5, limit=40
    )
    drawn = answers(workspace, "mix-v1")
    assert Counter(n < 50 for n in drawn) == {True: 28, False: 12}
    assert Counter(n < 50 for n in drawn[:20]) == {True: 14, False: 6}
    with pytest.raises(UsageError, match="'new' has 30 matching traces"):
        workspace.datasets.build("mix", "v2", mix={"old": 1, "new": 9}, limit=60)


def test_the_manifest_says_what_the_data_is(workspace: Workspace) -> None:
    built = workspace.datasets.build("set", "v1", filters={"source": "new"}, seed=3)
    folder = workspace.paths.dataset("set-v1")
    data = (folder / "dataset.jsonl").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest() == built.sha256
    assert manifest["dataset_schema_version"] == "1.1"
    assert manifest["provenance"]["plugins"] == workspace.plugins.versions()
    assert manifest["provenance"]["schema_version"] == "1.1"
    assert len(data.splitlines()) == manifest["trace_count"] == len(manifest["trace_ids"]) == 30
    assert b'"id"' not in data
    assert b"created_at" not in data, "the hash is of the content, not of when it came"


def test_the_same_data_has_the_same_hash_in_another_workspace(
    workspace: Workspace, tmp_path: Path
) -> None:
    built = workspace.datasets.build("set", "v1", filters={"source": "new"})
    with Workspace(tmp_path / "other") as other:
        other.traces.create_many([trace(n, source="new", level=1.5) for n in range(50, 80)])
        assert other.datasets.build("set", "v1").sha256 == built.sha256


def test_a_dataset_never_changes(workspace: Workspace) -> None:
    first = workspace.datasets.build("set", "v1", filters={"source": "new"})
    assert workspace.datasets.build("set", "v1", filters={"source": "new"}) == first
    with pytest.raises(ConflictError, match="choose another version"):
        workspace.datasets.build("set", "v1", filters={"source": "old"})
    assert workspace.datasets.verify("set-v1") == first


def test_data_that_was_edited_is_refused_everywhere(workspace: Workspace) -> None:
    workspace.datasets.build("set", "v1")
    data = workspace.paths.dataset("set-v1") / "dataset.jsonl"
    data.write_bytes(data.read_bytes().replace(b"Question 7?", b"Question 8?", 1))
    for use in (
        workspace.datasets.verify,
        workspace.datasets.data_path,
        workspace.datasets.export,
        lambda key: list(workspace.datasets.items(key)),
    ):
        with pytest.raises(IntegrityError, match=r"set-v1.*sha256"):
            use("set-v1")
    data.unlink()
    with pytest.raises(IntegrityError, match="cannot read"):
        workspace.datasets.verify("set-v1")


def test_a_manifest_that_was_edited_is_refused(workspace: Workspace) -> None:
    workspace.datasets.build("set", "v1")
    manifest = workspace.paths.dataset("set-v1") / "manifest.json"
    fields = json.loads(manifest.read_text())
    fields["trace_ids"] = fields["trace_ids"][1:]
    manifest.write_text(json.dumps(fields))
    with pytest.raises(IntegrityError, match="the manifest names 79"):
        workspace.datasets.verify("set-v1")


@pytest.mark.parametrize("export_format", FORMATS)
def test_exports_are_the_same_bytes_every_time(workspace: Workspace, export_format: str) -> None:
    workspace.datasets.build("set", "v1", filters={"source": "new"})
    first, second = ("".join(workspace.datasets.export("set-v1", export_format)) for _ in range(2))
    assert first == second
    assert len([json.loads(line) for line in first.splitlines()]) == 30
    with pytest.raises(UsageError, match="known: trace"):
        workspace.datasets.export("set-v1", "xml")


def test_questions_that_two_datasets_share_are_counted(workspace: Workspace) -> None:
    workspace.datasets.build("old", "v1", filters={"source": "old"})
    workspace.datasets.build("new", "v1", filters={"source": "new"})
    assert workspace.datasets.overlap("old-v1", "new-v1") == 0
    workspace.traces.create(
        Trace("Question   7?", "other", (Step(0, "t", "c"),), {"source": "sly"})
    )
    workspace.datasets.build("sly", "v1", filters={"source": "sly"})
    assert workspace.datasets.overlap("old-v1", "sly-v1") == 1


@pytest.mark.parametrize(
    ("name", "version"), [("..", ""), ("", "v1"), ("a\n", "v1"), ("x" * 300, "v1"), ("é", "v1")]
)
def test_a_key_that_is_no_safe_name_is_refused(
    workspace: Workspace, name: str, version: str
) -> None:
    with pytest.raises(UsageError, match="cannot be a dataset key"):
        workspace.datasets.build(name, version)


def test_an_unknown_dataset_is_named_with_the_closest(workspace: Workspace) -> None:
    workspace.datasets.build("numbers", "v1")
    with pytest.raises(NotFoundError, match="did you mean 'numbers-v1'"):
        workspace.datasets.manifest("number-v1")
    with pytest.raises(NotFoundError):
        workspace.datasets.manifest("../datasets/numbers-v1")


def test_an_answer_type_is_given_to_what_names_none(workspace: Workspace) -> None:
    workspace.traces.create_many(
        [trace(1, source="mixed", answer_type="string"), Trace("Q?", "2", (Step(0, "c", "2"),))]
    )
    untyped = workspace.datasets.build("two", "v1", limit=2)
    typed = workspace.datasets.build("two", "v2", limit=2, answer_type="numeric")
    types = [(item.trace.meta or {})["answer_type"] for item in workspace.datasets.items("two-v2")]
    assert types == ["decimal", "string"]
    assert typed.provenance["answer_type"] == "decimal"
    assert typed.sha256 != untyped.sha256
    assert typed.trace_ids == untyped.trace_ids


def test_an_unknown_answer_type_is_refused_with_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="unknown answer type 'colour'") as caught:
        workspace.datasets.build("typed", "v1", answer_type="colour")
    assert "integer, decimal, fraction" in str(caught.value.hint)
