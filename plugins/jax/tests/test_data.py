"""From a data file to a step's arrays: tokenised once, packed first-fit, shuffled by index."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.codec import trace_to_json
from tunix_core.errors import TunixError, UsageError
from tunix_core.records import Step, Trace
from tunix_core.rendering import render
from tunix_jax.data.batches import Prefetch, Shuffle
from tunix_jax.data.packing import first_fit, pack
from tunix_jax.data.token_cache import TokenizedExamples, read_examples, tokenized
from tunix_jax.text.prompt_encoder import PromptEncoder
from tunix_jax.text.tokenizer import TextTokenizer

TOKENIZER = TextTokenizer.train(["What is 3 + 4?\n<reasoning>3 + 4 = 7</reasoning>"] * 3, 300)
ENCODER = PromptEncoder(TOKENIZER)


def write_sums(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as out:
        for n in range(count):
            work = (Step(0, "compute", f"{n} + 1 = {n + 1}"),)
            out.write(trace_to_json(Trace(f"What is {n} + 1?", str(n + 1), work)) + "\n")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/tunix-jax/tokens"


def in_memory(lengths: list[tuple[int, int]]) -> TokenizedExamples:
    """Examples of (prompt, completion) lengths, in which every token is another one."""
    offsets = np.cumsum([0, *(prompt + completion for prompt, completion in lengths)])
    tokens = np.arange(1, offsets[-1] + 1, dtype=np.uint32)
    return TokenizedExamples(tokens, offsets, np.array([p for p, _ in lengths], np.int32))


def test_a_data_file_is_tokenized_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_sums(tmp_path / "data.jsonl", 2345)
    first = tokenized(data, "show_your_work", ENCODER)
    for place, rendered in enumerate(read_examples(data, "show_your_work")):
        prompt = ENCODER.prompt_ids([rendered.prompt])[0]
        ids = prompt + ENCODER.completion_ids([rendered.completion])[0]
        assert first.ids(place).tolist() == ids
        assert (first.lengths[place], first.prompt_lengths[place]) == (len(ids), len(prompt))
    assert [path.name for path in cache.iterdir()] == [first.key], "nothing is left lying about"
    with monkeypatch.context() as patched:
        patched.delattr(PromptEncoder, "prompt_ids")
        again = tokenized(data, "show_your_work", ENCODER)
    assert np.array_equal(again.tokens, first.tokens)
    assert len(again) == 2345


def test_other_data_rendering_or_encoder_is_another_entry(tmp_path: Path, cache: Path) -> None:
    other = PromptEncoder(TextTokenizer.train(["other words"], 300))
    one, two = (write_sums(tmp_path / f"{n}.jsonl", n) for n in (1, 2))
    keys = [
        tokenized(one, "show_your_work", ENCODER).key,
        tokenized(two, "show_your_work", ENCODER).key,
        tokenized(one, "gemma_chat", ENCODER).key,
        tokenized(one, "show_your_work", other).key,
    ]
    assert {path.name for path in cache.iterdir()} == set(keys)
    assert len(set(keys)) == 4


@pytest.mark.parametrize("name", ["tokens.bin", "offsets.npy", "prompt_lengths.npy"])
@pytest.mark.parametrize("size", [None, 0, 100])
def test_a_torn_entry_is_made_anew(
    tmp_path: Path, cache: Path, name: str, size: int | None
) -> None:
    data = write_sums(tmp_path / "data.jsonl", 20)
    whole = tokenized(data, "show_your_work", ENCODER)
    wanted = whole.tokens.tolist()
    torn = cache / whole.key / name
    content = torn.read_bytes()
    torn.unlink()
    if size is not None:
        torn.write_bytes(content[:size])
    again = tokenized(data, "show_your_work", ENCODER)
    assert again.tokens.tolist() == wanted
    assert torn.read_bytes() == content


def test_several_at_once_get_the_same(tmp_path: Path, cache: Path) -> None:
    data = write_sums(tmp_path / "data.jsonl", 50)
    encoders = [PromptEncoder(TextTokenizer(TOKENIZER.files())) for _ in range(4)]
    found: list[list[int]] = []
    threads = [
        threading.Thread(
            target=lambda e=e: found.append(tokenized(data, "show_your_work", e).tokens.tolist())
        )
        for e in encoders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(tokens == found[0] for tokens in found)
    assert len(list(cache.iterdir())) == 1


def test_data_that_cannot_be_used(tmp_path: Path, cache: Path) -> None:
    data = write_sums(tmp_path / "data.jsonl", 3)
    with pytest.raises(UsageError, match="unknown template"):
        tokenized(data, "nothing", ENCODER)
    with data.open("a", encoding="utf-8") as out:
        out.write("{}\n")
    with pytest.raises(TunixError, match=r"data\.jsonl, line 4: invalid"):
        tokenized(data, "show_your_work", ENCODER)
    data.write_text("")
    with pytest.raises(UsageError, match="holds no trace"):
        tokenized(data, "show_your_work", ENCODER)
    with pytest.raises(UsageError, match="cannot read"):
        tokenized(tmp_path / "missing", "show_your_work", ENCODER)
    assert not list(cache.glob(".making-*"))


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    data = write_sums(tmp_path / "data.jsonl", 1)
    with pytest.raises(TunixError, match=r"cannot write the token cache .*XDG_CACHE_HOME"):
        tokenized(data, "show_your_work", ENCODER)


@given(st.lists(st.integers(1, 20), max_size=60))
def test_first_fit(sizes: list[int]) -> None:
    room: list[int] = []
    wanted = []
    for size in sizes:
        row = next((row for row, left in enumerate(room) if left >= size), len(room))
        if row == len(room):
            room.append(20)
        room[row] -= size
        wanted.append(row)
    assert first_fit(np.array(sizes, np.int64), 20).tolist() == wanted


EXAMPLES = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=40)


@given(EXAMPLES, st.integers(8, 30), st.booleans())
def test_packed_rows(lengths: list[tuple[int, int]], length: int, cut: bool) -> None:
    examples = in_memory(lengths)
    fits = [p < length if cut else p + c <= length for p, c in lengths]
    if not any(fits):
        with pytest.raises(UsageError, match=f"none of {len(lengths)} examples .*max_length"):
            pack(examples, length, 0, "truncate" if cut else "drop")
        return
    rows = pack(examples, length, 0, "truncate" if cut else "drop")
    batch = rows.take(np.arange(len(rows)))
    assert {(v.shape, v.dtype.name) for v in batch.values()} == {((len(rows), length), "int32")}
    tokens, segments = batch["tokens"], batch["segments"]
    kept = [place for place, fit in enumerate(fits) if fit]
    wanted = [token for place in kept for token in examples.ids(place)[:length].tolist()]
    assert sorted(tokens[segments > 0].tolist()) == wanted, "every token exactly once"
    assert not tokens[segments == 0].any()
    assert rows.too_long == len(lengths) - len(kept)
    assert rows.truncated == sum(sum(lengths[place]) > length for place in kept)
    for row in range(len(rows)):
        begin = 0
        held = rows.examples_of(np.array([row]))
        assert held == sorted(held)
        for segment, place in enumerate(held, start=1):
            ids = examples.ids(place)[:length]
            part = slice(begin, begin + len(ids))
            assert tokens[row, part].tolist() == ids.tolist()
            assert set(segments[row, part]) == {segment}
            assert batch["positions"][row, part].tolist() == list(range(len(ids)))
            first = max(lengths[place][0], 1)
            assert batch["targets"][row, part].tolist() == [
                int(i >= first) for i in range(len(ids))
            ]
            begin += len(ids)
        assert not any(batch[name][row, begin:].any() for name in batch)
    assert rows.tokens_per_row.tolist() == np.count_nonzero(segments, axis=1).tolist()
    assert rows.learned_per_row.tolist() == batch["targets"].sum(axis=1).tolist()
    assert rows.learned == batch["targets"].sum()
    assert rows.padding == pytest.approx(np.mean(segments == 0))


@given(EXAMPLES, st.integers(16, 40), st.sampled_from(["drop", "truncate"]))
def test_examples_that_belong_together_lie_side_by_side(
    lengths: list[tuple[int, int]], length: int, overlong: Any
) -> None:
    examples = in_memory([*lengths, *lengths])
    pairs = examples.lengths.reshape(-1, 2).sum(axis=1)
    kept = np.flatnonzero(pairs <= length)
    if not len(kept):
        with pytest.raises(UsageError, match="raise max_length"):
            pack(examples, length, 0, overlong, together=2)
        return
    rows = pack(examples, length, 0, overlong, together=2)
    assert (rows.too_long, rows.truncated) == (2 * (len(pairs) - len(kept)), 0)
    batch = rows.take(np.arange(len(rows)))
    seen = []
    for row in range(len(rows)):
        lines = rows.examples_of(np.array([row]))
        assert lines[::2] == lines[1::2], "a row holds whole pairs, named by their lines"
        wanted = [
            token for pair in lines[::2] for e in (0, 1) for token in examples.ids(2 * pair + e)
        ]
        assert batch["tokens"][row][batch["segments"][row] > 0].tolist() == wanted
        assert batch["segments"][row].max() == len(lines)
        seen += lines[::2]
    assert sorted(seen) == kept.tolist()


@given(EXAMPLES, st.data())
def test_taking_some_rows_is_choosing_among_all(
    lengths: list[tuple[int, int]], data: st.DataObject
) -> None:
    rows = pack(in_memory(lengths), 24, 7)
    everything = rows.take(np.arange(len(rows)))
    chosen = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1))), np.int64)
    for name, values in rows.take(chosen).items():
        assert np.array_equal(values, everything[name][chosen])


def test_only_the_completion_and_its_end_are_learned(tmp_path: Path, cache: Path) -> None:
    data = write_sums(tmp_path / "data.jsonl", 1)
    rows = pack(tokenized(data, "show_your_work", ENCODER), 96, TOKENIZER.pad)
    batch = rows.take(np.array([0]))
    learned = batch["tokens"][batch["targets"] == 1].tolist()
    trace = Trace("What is 0 + 1?", "1", (Step(0, "compute", "0 + 1 = 1"),))
    assert TOKENIZER.decode(learned) == render(trace).completion
    assert learned[-1] == TOKENIZER.end
    assert set(batch["tokens"][batch["segments"] == 0].tolist()) == {TOKENIZER.pad}


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**63))
def test_each_epoch_is_an_order_of_its_own(count: int, per_step: int, seed: int) -> None:
    steps = -(-3 * count // per_step)
    shuffle = Shuffle(count, per_step, seed)
    rows = np.concatenate([shuffle.rows(step) for step in range(steps)])[: 3 * count]
    epochs = rows.reshape(3, count)
    assert (np.sort(epochs, axis=1) == np.arange(count)).all()
    fresh = Shuffle(count, per_step, seed)
    for step in reversed(range(steps)):
        assert np.array_equal(fresh.rows(step), shuffle.rows(step)), "the step is all that counts"
    if count > 20:
        assert any(not np.array_equal(one, two) for one, two in pairwise(epochs))
        assert not np.array_equal(Shuffle(count, count, seed + 1).rows(0), epochs[0])


def test_batches_come_in_order_and_two_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step * step

    with Prefetch(make, 3, 20) as batches:
        for step, batch in batches:
            assert batch == step * step
            deadline = time.monotonic() + 10
            while made[-1] < min(step + 2, 19) and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.002)
            assert made == list(range(3, min(step + 3, 20)))
    with Prefetch(make, 5, 5) as batches:
        assert list(batches) == []


def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_wanted() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise TunixError("row 2 is odd")
        return step

    with Prefetch(make, 0, 9) as batches:
        coming = iter(batches)
        assert [next(coming), next(coming)] == [(0, 0), (1, 1)]
        with pytest.raises(TunixError, match="row 2 is odd"):
            next(coming)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with Prefetch(lambda step: step, 0, 1000) as batches:
        for step, _ in batches:
            if step == 3:
                break
    assert threading.active_count() == before
