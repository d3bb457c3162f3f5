"""Traces: stored once, found at any depth, imported by several processes at once."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_traces
from tunix_core import Workspace
from tunix_core.codec import trace_from_data, trace_from_json, trace_to_json
from tunix_core.errors import InvalidRecordError, NotFoundError, TunixError, UsageError
from tunix_core.records import Step, Trace


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    with Workspace(tmp_path / "workspace") as opened:
        yield opened


def test_pages_go_back_from_the_newest_without_gaps(workspace: Workspace, tmp_path: Path) -> None:
    workspace.traces.import_file(write_traces(tmp_path / "many.jsonl", 95))
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = workspace.traces.list(limit=20, offset=offset)
        seen += [stored.trace.final_answer for stored in page.items]
        offset = page.next_offset
    assert seen == [str(n) for n in range(95, 0, -1)]
    assert workspace.traces.list(limit=5, offset=95).items == ()
    with pytest.raises(UsageError, match="limit"):
        workspace.traces.list(limit=0)


def test_a_trace_comes_back_as_it_was_given(workspace: Workspace) -> None:
    given = Trace("é\u2028😀", "1", (Step(5, "t", "c"),), {"z": [1, {"a": None}], "a": 1.5})
    stored = workspace.traces.create(given)
    assert workspace.traces.get(stored.id).trace == given
    assert workspace.traces.get(stored.id.upper()) == stored
    for unknown in ("nothing", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotFoundError):
            workspace.traces.get(unknown)


def test_created_traces_may_repeat_and_imported_ones_do_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = write_traces(tmp_path / "some.jsonl", 10)
    ids: list[str] = []
    first = workspace.traces.import_file(file, trace_ids=ids)
    again: list[str] = []
    second = workspace.traces.import_file(file, trace_ids=again)
    assert (first.accepted, second.accepted, second.duplicates) == (10, 0, 10)
    assert again == ids
    assert workspace.traces.import_file(file, allow_duplicates=True).accepted == 10
    assert workspace.traces.import_file(file, source="elsewhere").accepted == 10
    stored = workspace.traces.get(ids[0]).trace
    workspace.traces.create_many([stored, stored])
    assert workspace.traces.count() == 32


def test_import_stamps_where_a_trace_came_from(workspace: Workspace, tmp_path: Path) -> None:
    plain = Trace("p", "a", (Step(0, "t", "c"),))
    file = tmp_path / "mine.v2.jsonl.gz"
    file.write_bytes(gzip.compress((trace_to_json(plain) + "\n").encode()))
    workspace.traces.import_file(file)
    meta = workspace.traces.list().items[0].trace.meta
    assert meta == {"source": "mine", "ingest_source_file": "mine.v2.jsonl.gz"}


@pytest.mark.parametrize("meta", [{}, {"meta": None}, {"meta": {}}])
def test_a_trace_without_meta_gets_its_source(
    workspace: Workspace, tmp_path: Path, meta: dict[str, Any]
) -> None:
    line = {"prompt": "p", "final_answer": "a", "steps": [{"i": 0, "type": "t", "content": "c"}]}
    (tmp_path / "mine.jsonl").write_text(json.dumps({**line, **meta}) + "\n")
    workspace.traces.import_file(tmp_path / "mine.jsonl", "theirs")
    assert workspace.traces.sources() == {"theirs": 1}
    assert workspace.traces.summaries(filters={"source": "theirs"}).items != ()


def test_an_import_says_why_it_refused_the_first_lines(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = write_traces(tmp_path / "some.jsonl", 3)
    with file.open("a") as out:
        for number in range(150):
            out.write(json.dumps({"prompt": "p" * (number + 1), "steps": []}) + "\n")
    report = workspace.traces.import_file(file)
    assert (report.accepted, report.rejected) == (3, 150)
    assert [rejected.line for rejected in report.reasons] == list(range(4, 104))
    assert report.reasons[0].problems == (
        "$.final_answer: is missing",
        "$.steps: must hold 1 to 1000 steps, got 0",
    )
    assert report.reasons[0].text.startswith('{"prompt": "p"')
    assert len(Path(str(report.rejects_path)).read_text().splitlines()) == 150


def test_refused_lines_need_not_be_kept(workspace: Workspace, tmp_path: Path) -> None:
    file = write_traces(tmp_path / "some.jsonl", 1)
    with file.open("a") as out:
        out.write("{}\n" * 1000)
    report = workspace.traces.import_file(file, "some", keep_rejects=False)
    assert (report.accepted, report.rejected, len(report.reasons)) == (1, 1000, 100)
    assert report.rejects_path is None
    assert [path.name for path in tmp_path.iterdir() if "rejects" in path.name] == []


def test_of_far_too_many_steps_only_their_number_is_told() -> None:
    data = {"prompt": "p", "final_answer": "a", "steps": [{}] * 1001}
    with pytest.raises(InvalidRecordError) as refused:
        trace_from_data(data)
    assert refused.value.problems == ["$.steps: must hold 1 to 1000 steps, got 1001"]


def test_reasons_stay_small_whatever_a_line_holds(workspace: Workspace, tmp_path: Path) -> None:
    file = write_traces(tmp_path / "some.jsonl", 1)
    with file.open("a") as out:
        out.write(json.dumps({f"key {n} {'x' * 900}": n for n in range(500)}) + "\n")
    (reason,) = workspace.traces.import_file(file).reasons
    assert len(reason.problems) == 20
    assert max(len(problem) for problem in reason.problems) <= 500


def test_a_line_over_the_limit_is_refused_with_its_place_and_never_held(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = write_traces(tmp_path / "long.jsonl", 2)
    with file.open("a") as out:
        for _ in range(24):
            out.write("x" * 1_000_000)
        out.write("\n")
    good = write_traces(tmp_path / "good.jsonl", 4).read_text().splitlines(keepends=True)
    with file.open("a") as out:
        out.writelines(good[2:])
    tracemalloc.start()
    try:
        report = workspace.traces.import_file(file, "long", max_record_bytes=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (report.accepted, report.rejected) == (4, 1)
    assert report.reasons[0].line == 3
    assert report.reasons[0].problems == ("$: line is longer than 100000 bytes",)
    assert peak < 4_000_000
    small = workspace.traces.import_file(file, "small", max_record_bytes=10)
    assert (small.accepted, small.rejected) == (0, 5)


def test_a_damaged_stream_keeps_what_came_before(workspace: Workspace, tmp_path: Path) -> None:
    lines = write_traces(tmp_path / "plain.jsonl", 20_000).read_bytes()
    file = tmp_path / "torn.jsonl.gz"
    packed = gzip.compress(lines)
    file.write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(TunixError, match="torn"):
        workspace.traces.import_file(file)
    kept = workspace.traces.count()
    assert 4096 <= kept < 20_000
    file.write_bytes(packed)
    report = workspace.traces.import_file(file)
    assert (report.accepted, report.duplicates) == (20_000 - kept, kept)


def test_two_processes_import_at_once_and_both_succeed(
    workspace: Workspace, tmp_path: Path
) -> None:
    names = ("one", "two")
    files = [write_traces(tmp_path / f"{name}.jsonl", 9000) for name in names]
    shared = write_traces(tmp_path / "shared.jsonl", 3000)
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace.paths.root)]
    importing = [*command, "traces", "import"]
    importers = [
        subprocess.Popen(
            [*importing, str(file), str(shared), "--source", name, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name, file in zip(names, files, strict=True)
    ]
    for importer in importers:
        out, err = importer.communicate(timeout=120)
        assert importer.returncode == 0, err
        reports = json.loads(out)
        # The shared file holds what the larger one holds, so all of it is known by then.
        assert [(r["accepted"], r["duplicates"]) for r in reports] == [(9000, 0), (0, 3000)]
    assert workspace.traces.count() == 18_000
    built = workspace.datasets.build("one", "v1", filters={"source": "one"})
    assert built.trace_count == 9000


def test_generated_traces_are_streamed_and_capacity_is_respected(workspace: Workspace) -> None:
    stream = workspace.traces.generate("dev-reasoning-v1", count=5, start=3)
    whole = list(workspace.traces.generate("dev-reasoning-v1", count=8))
    assert list(stream) == whole[3:]
    with pytest.raises(UsageError, match="distinct items"):
        workspace.traces.generate("golden-v1", count=1000)
    with pytest.raises(UsageError, match="no split"):
        workspace.traces.generate("golden-v1", split="nowhere", count=1)


def test_generated_traces_are_imported_once_without_a_file(workspace: Workspace) -> None:
    def generated(count: int) -> Iterator[Trace]:
        return workspace.traces.generate("dev-reasoning-v1", count=count)

    ids: list[str] = []
    report = workspace.traces.import_traces(generated(12), trace_ids=ids)
    assert (report.accepted, report.duplicates, report.file) == (12, 0, None)
    assert [workspace.traces.get(trace_id).trace for trace_id in ids] == list(generated(12))
    again: list[str] = []
    report = workspace.traces.import_traces(generated(15), trace_ids=again)
    assert (report.accepted, report.duplicates, again[:12]) == (3, 12, ids)
    built = workspace.datasets.build("second", "v1", import_id=report.import_id)
    assert sorted(built.trace_ids) == sorted(again[12:])
    assert workspace.traces.import_traces(generated(15), allow_duplicates=True).accepted == 15


def test_a_trace_is_the_same_from_a_file_and_from_a_program(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = write_traces(tmp_path / "some.jsonl", 6)
    traces = [trace_from_json(line) for line in file.read_text("utf-8").splitlines()]
    workspace.traces.import_file(file)
    assert workspace.traces.import_traces(traces).duplicates == 6
    assert workspace.traces.import_traces(traces, "mine").accepted == 6
    assert workspace.traces.sources() == {"tests": 6, "mine": 6}


@pytest.mark.parametrize("meta", [None, {}, {"topic": [1, None]}])
def test_an_imported_trace_without_a_source_stays_as_it_is(
    workspace: Workspace, meta: dict[str, Any] | None
) -> None:
    given = Trace("p", "a", (Step(0, "t", "c"),), meta)
    for _ in range(2):
        ids: list[str] = []
        workspace.traces.import_traces([given], trace_ids=ids)
    assert workspace.traces.get(ids[0]).trace == given
    assert workspace.traces.count() == 1


def test_what_cannot_be_stored_ends_an_import_and_keeps_what_came_before(
    workspace: Workspace,
) -> None:
    good = Trace("p", "a", (Step(0, "t", "c"),))
    bad = Trace("p", "a", (Step(0, "t", "c"),), {"topic": float("nan")})
    with pytest.raises(InvalidRecordError, match="topic"):
        workspace.traces.import_traces([bad, good])
    assert workspace.traces.count() == 0
    with pytest.raises(TunixError, match=r"topic.*1 traces were stored before that"):
        workspace.traces.import_traces([good, bad])
    assert workspace.traces.count() == 1
    with pytest.raises(UsageError, match="no trace"):
        workspace.traces.import_traces([])


def test_an_import_from_a_program_says_how_far_it_is(workspace: Workspace) -> None:
    seen: list[tuple[int, int]] = []
    traces = workspace.traces.generate("dev-reasoning-v1", count=5000)
    workspace.traces.import_traces(traces, on_progress=lambda *at: seen.append(at))
    assert seen == [(4096, 0), (5000, 0)]


def test_an_unknown_answer_type_is_refused_where_it_stands(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = write_traces(tmp_path / "typed.jsonl", 3)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1]["meta"]["answer_type"] = "colour"
    lines[2]["meta"]["answer_type"] = "multiple_choice"
    file.write_text("\n" + "".join(json.dumps(line) + "\n" for line in lines))
    report = workspace.traces.import_file(file)
    assert (report.accepted, report.rejected) == (2, 1)
    (refused,) = report.reasons
    assert refused.line == 3
    assert "'colour' is no answer type (known: integer, decimal," in refused.problems[0]
    wrong = Trace("Q?", "1", (Step(0, "c", "1"),), {"answer_type": 7})
    assert workspace.traces.import_traces([wrong], "mine").reasons[0].line == 1
