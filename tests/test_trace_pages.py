"""Pages, single traces as text, and recorded scores: the same facts as the records, only faster."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunix_core import Workspace
from tunix_core.codec import trace_to_json
from tunix_core.errors import InvalidRecordError, NotFoundError, UsageError
from tunix_core.plugins import Plugins
from tunix_core.records import Step, Trace

STORED = 5000
# Equal numbers that are written in different ways.
ODD_NUMBERS: dict[int, int | float] = {3: -0.0, 4: 0, 5: 1e17, 6: 10**17, 2500: 1e-7, 2501: 0.0}
LONG = "a source with a name " * 9


def meta_of(number: int, drawn: random.Random) -> dict[str, Any] | None:
    """Metas of every sort: few values, many, rare keys, none at all, numbers that are equal."""
    if number % 11 == 0:
        return None
    meta: dict[str, Any] = {
        "source": drawn.choice(["ungar", "ungar", "dev", LONG, 7, None]),
        "serial": number // 2,
        "reading": ODD_NUMBERS.get(number, number / 4 if number % 8 else number // 4),
        "level": drawn.choice([1, 1.0, True, "1", 2.5]),
    }
    if number < 2100:
        meta["old"] = {"list": [1, 2]}
    if number in (17, 2049, 4999):
        meta["rare"] = "here"
    return meta


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    drawn = random.Random(5)
    traces = [
        Trace(f"Question {n}?", str(n), (Step(0, "t", "c"),), meta_of(n, drawn), f"1.{n % 3}")
        for n in range(STORED)
    ]
    with Workspace(tmp_path_factory.mktemp("full") / "workspace", Plugins.of()) as workspace:
        # Of two sizes, so that chunks are filled at once and bit by bit.
        for start in range(0, 4000, 1000):
            workspace.traces.create_many(traces[start : start + 1000])
        for trace in traces[4000:4100]:
            workspace.traces.create(trace)
        workspace.traces.create_many(traces[4100:])
        yield workspace


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace(tmp_path_factory.mktemp("growing") / "workspace", Plugins.of()) as workspace:
        yield workspace


def equal(left: Any, right: Any) -> bool:
    """As JSON has it: 1 is 1.0, and is not true."""
    return (isinstance(left, bool) == isinstance(right, bool)) and bool(left == right)


def expected(workspace: Workspace, filters: Mapping[str, Any]) -> list[str]:
    """Ids of what matches, newest first, found by looking at every record."""
    found = []
    for stored in workspace.traces.list(STORED).items:
        meta = stored.trace.meta or {}
        if all(key in meta and equal(meta[key], value) for key, value in filters.items()):
            found.append(stored.id)
    return found


filters_used: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "source": st.sampled_from(["ungar", "dev", LONG, 7, None, "nobody"]),
            "level": st.sampled_from([1, 1.0, True, "1", 2.5]),
            "serial": st.integers(-1, STORED // 2),
            "reading": st.one_of(
                st.integers(-1, STORED // 4),
                st.integers(-4, STORED).map(lambda number: number / 4),
                st.sampled_from([0, 0.0, -0.0, 1e17, 10**17, 1e-7, 624.0]),
            ),
            "old": st.sampled_from([{"list": [1, 2]}, {"list": [1]}]),
            "rare": st.just("here"),
        },
    ),
)


@settings(max_examples=60)
@given(filters_used, st.integers(1, 200), st.integers(0, STORED + 5))
def test_a_page_shows_what_a_search_of_all_records_finds(
    full: Workspace, filters: dict[str, Any], limit: int, offset: int
) -> None:
    wanted = expected(full, filters)
    for begin in (offset, offset % (len(wanted) + 1)):
        page = full.traces.summaries(limit, begin, filters)
        assert [item.id for item in page.items] == wanted[begin : begin + limit]
        more = begin + limit < len(wanted)
        assert page.next_offset == (begin + limit if more else None)
        assert (page.limit, page.offset) == (limit, begin)


@settings(max_examples=40)
@given(st.integers(1, 100), st.integers(0, STORED))
def test_a_summary_agrees_with_the_record(full: Workspace, limit: int, offset: int) -> None:
    records, page = full.traces.list(limit, offset), full.traces.summaries(limit, offset)
    assert page.next_offset == records.next_offset
    for stored, item in zip(records.items, page.items, strict=True):
        assert (item.id, item.created_at, item.sequence) == (
            stored.id,
            stored.created_at,
            stored.sequence,
        )
        assert item.trace_version == stored.trace.trace_version


def test_following_the_offsets_shows_every_match_once(full: Workspace) -> None:
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = full.traces.summaries(97, offset, {"source": "ungar", "level": 2.5})
        seen += [item.id for item in page.items]
        offset = page.next_offset
    assert seen == expected(full, {"source": "ungar", "level": 2.5})
    assert len(seen) > 200


def test_pages_that_cannot_be_are_refused(full: Workspace) -> None:
    for limit, offset in ((0, 0), (-1, 0), (5, -1)):
        with pytest.raises(UsageError, match="limit"):
            full.traces.summaries(limit, offset)
    with pytest.raises(InvalidRecordError):
        full.traces.summaries(5, 0, {"source": float("nan")})


def test_sources_are_counted_as_the_records_have_them(full: Workspace) -> None:
    metas = [stored.trace.meta or {} for stored in full.traces.list(STORED).items]
    texts = Counter(m["source"] for m in metas if isinstance(m.get("source"), str))
    assert full.traces.sources() == dict(texts)
    assert next(iter(full.traces.sources())) == "ungar"


def test_very_many_sources_are_counted_too(tmp_path: Path) -> None:
    steps = (Step(0, "t", "c"),)
    many = [Trace("p", "a", steps, {"source": f"source {n % 600}"}) for n in range(3000)]
    with Workspace(tmp_path / "workspace", Plugins.of()) as workspace:
        workspace.traces.create_many(many)
        assert workspace.traces.sources() == {f"source {n}": 5 for n in range(600)}
        assert workspace.traces.summaries(3, 0, {"source": "source 599"}).next_offset == 3


hard_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
versions = st.one_of(
    hard_texts,
    st.sampled_from(['"trace_version":"2.0"', "\\", '\\"}', "\x01" * 64, "😀" * 64, '","meta":']),
)


@settings(max_examples=80)
@given(versions, st.lists(hard_texts, min_size=1, max_size=3))
def test_a_trace_is_passed_on_as_it_is_stored(
    growing: Workspace, version: str, contents: list[str]
) -> None:
    steps = [Step(n, "t", content) for n, content in enumerate(contents)]
    traces = growing.traces
    stored = traces.create(Trace("p", "a", steps, {"extra": contents}, version))
    passed = traces.get_json(stored.id)
    assert passed == traces.get_json(stored.id.replace("-", "").upper())
    assert passed.body == trace_to_json(stored.trace)
    assert passed.trace_version == version == json.loads(passed.body)["trace_version"]
    assert (passed.id, passed.created_at) == (stored.id, stored.created_at)
    newest = traces.summaries(1).items[0]
    assert (newest.id, newest.trace_version) == (stored.id, version)


@pytest.mark.parametrize("unknown", ["", "nothing", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_trace_is_not_found(full: Workspace, unknown: str) -> None:
    for ask in (full.traces.get_json, full.traces.record_score, full.traces.scores):
        with pytest.raises(NotFoundError, match="not found"):
            ask(unknown)


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=16),
            lambda inner: st.lists(inner, max_size=2).map(tuple) | st.lists(inner, max_size=2),
        ),
        max_size=3,
    ).filter(lambda meta: "inf" not in json.dumps(meta).lower())
)
@settings(max_examples=40)
def test_what_create_returns_is_what_is_read_back(meta: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder, Workspace(folder, Plugins.of()) as workspace:
        made = workspace.traces.create_many([Trace("p", "a", (Step(0, "t", "c"),), meta)] * 2)
        assert [workspace.traces.get(stored.id) for stored in made] == made


def test_recorded_scores_are_kept_and_others_are_not(tmp_path: Path) -> None:
    steps = [Step(n, "t", "c" * 250) for n in range(5)]
    with Workspace(tmp_path / "workspace", Plugins.of()) as workspace:
        trace_id = workspace.traces.create(Trace("p", "a", steps)).id
        pure = workspace.traces.score(trace_id)
        assert (pure.score, pure.step_score, pure.length_score) == (50.0, 25.0, 25.0)
        assert pure.scored_at is None
        assert workspace.traces.scores(trace_id) == ()
        first, second = (workspace.traces.record_score(trace_id) for _ in range(2))
        assert first.scored_at is not None
        assert second.scored_at is not None
        assert first.scored_at <= second.scored_at
        assert first.score == pure.score
    with Workspace(tmp_path / "workspace", Plugins.of()) as workspace:
        assert workspace.traces.scores(trace_id.upper()) == (second, first)


VERSIONS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


@example(["a\0b", '"', "\\", "\u2028é", "1.0"], 9, 0)
@given(st.lists(VERSIONS | st.just("1.0"), max_size=8), st.integers(1, 9), st.integers(0, 9))
@settings(max_examples=50)
def test_a_page_as_json_says_what_the_summaries_say(
    versions: list[str], limit: int, offset: int
) -> None:
    with TemporaryDirectory() as folder, Workspace(folder, Plugins.of()) as workspace:
        step = Step(0, "t", '"trace_version":"1.0"}')
        workspace.traces.create_many([Trace("q", "a", (step,), None, v) for v in versions])
        page = workspace.traces.page_json(limit, offset)
        same = workspace.traces.summaries(limit, offset)
    assert json.loads(f"[{page.entries}]") == [
        {"id": s.id, "created_at": s.created_at, "trace_version": s.trace_version}
        for s in same.items
    ]
    assert (page.limit, page.offset, page.next_offset) == (limit, offset, same.next_offset)
