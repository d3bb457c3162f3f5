"""What every game must do; subclass :class:`GameConformance` in your tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tunix_core.codec import loads, trace_from_data, trace_to_json
from tunix_core.errors import UsageError
from tunix_core.protocols import Game
from tunix_core.records import Trace

HASH_SEEDS = ("0", "1", "4242")
SEEDS = (0, 1, 42, -7, 1 << 80)

# Run by another Python: prints the canonical trace of each [seed, index], one JSON text a line.
_CHILD = """
import importlib, json, sys
from tunix_core.codec import trace_to_json
module, _, name = sys.argv[1].partition(":")
game = getattr(importlib.import_module(module), name)()
for seed, index in json.loads(sys.argv[2]):
    print(json.dumps(trace_to_json(game.episode(seed, index))))
"""


class GameConformance:
    """The contract of a game: pure, random access, seeds apart, every episode a valid trace.

    Example::

        class TestCoinToss(GameConformance):
            factory = "my_plugin.games:CoinToss"

            def make(self):
                return CoinToss()

    Attributes:
        count: How many episodes of a seed are looked at.
        factory: ``"module:attr"``, importable in another process, which called without arguments
            makes what :meth:`make` makes; None leaves out the test that needs it.
    """

    count: int = 100
    factory: str | None = None

    def make(self) -> Game:
        """A new game with its default settings."""
        raise NotImplementedError

    def texts(self, seed: int, game: Game | None = None) -> list[str]:
        """The canonical episodes of a seed, what says their number left out."""
        player = game or self.make()
        return [_content(player.episode(seed, index)) for index in range(self.count)]

    def test_is_a_game_with_a_version(self) -> None:
        game = self.make()
        assert isinstance(game, Game)
        assert isinstance(game.version, str)
        assert game.version

    def test_the_same_address_gives_the_same_bytes_in_any_order(self) -> None:
        game, other = self.make(), self.make()
        for seed in SEEDS:
            in_order = [trace_to_json(game.episode(seed, index)) for index in range(self.count)]
            for index in reversed(range(self.count)):
                assert trace_to_json(other.episode(seed, index)) == in_order[index]

    def test_other_processes_give_the_same_bytes(self) -> None:
        if self.factory is None:
            pytest.skip("`factory` is not set: give it as 'module:attr'")
        game = self.make()
        wanted = [(seed, index) for seed in SEEDS for index in range(10)]
        expected = [trace_to_json(game.episode(seed, index)) for seed, index in wanted]
        path = os.pathsep.join(entry for entry in sys.path if entry)
        for hash_seed in HASH_SEEDS:
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, self.factory, json.dumps(wanted)],
                env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert [json.loads(line) for line in done.stdout.splitlines()] == expected

    def test_indices_differ(self) -> None:
        assert len(set(self.texts(42))) > 1

    def test_seeds_differ(self) -> None:
        episodes = [self.texts(seed) for seed in SEEDS]
        assert all(a != b for n, a in enumerate(episodes) for b in episodes[:n])

    def test_neighbouring_seeds_are_not_shifted_copies(self) -> None:
        for seed in SEEDS:
            here, there = self.texts(seed), self.texts(seed + 1)
            for shift in range(3):
                overlap = here[shift:]
                assert overlap != there[: len(overlap)]
                assert there[shift:] != here[: len(overlap)]

    def test_episodes_are_valid_traces_with_strict_json(self) -> None:
        game = self.make()
        for index in range(self.count):
            trace = game.episode(42, index)
            read = trace_from_data(loads(trace_to_json(trace)))
            assert read == trace
            assert read.meta is not None
            assert isinstance(read.meta["source"], str)
            assert read.meta["episode_index"] == index
            assert "seed" not in read.meta, "who plays the game says whether a seed was chosen"

    def test_a_negative_index_is_refused(self) -> None:
        with pytest.raises(UsageError):
            self.make().episode(0, -1)


def _content(trace: Trace) -> str:
    meta = {key: value for key, value in (trace.meta or {}).items() if key != "episode_index"}
    return json.dumps([trace.prompt, [s.content for s in trace.steps], trace.final_answer, meta])
