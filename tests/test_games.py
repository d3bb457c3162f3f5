"""Games: played through the services and the command, and held to their contract."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunix_core import Workspace, hookimpl
from tunix_core.contributions import GameContribution
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import Game
from tunix_core.records import Step, Trace
from tunix_core.testing.game import GameConformance


class CoinToss:
    """Heads or tails, from a hash of seed and index."""

    version = "7"

    def episode(self, seed: int, index: int) -> Trace:
        if index < 0:
            raise UsageError(f"index {index} must be 0 or more")
        digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
        side = ("heads", "tails")[digest[0] & 1]
        meta = {"source": "coins", "episode_index": index, "side": side}
        return Trace("Call it.", "heads", (Step(0, "call", "heads"),), meta)


class Shifted(CoinToss):
    """An episode depends on the sum of seed and index: neighbouring seeds share their episodes."""

    def episode(self, seed: int, index: int) -> Trace:
        trace = super().episode(0, seed + index if seed + index >= 0 else 0)
        if index < 0:
            raise UsageError("negative")
        return Trace(
            trace.prompt,
            trace.final_answer,
            trace.steps,
            {**(trace.meta or {}), "episode_index": index},
        )


class Careless(CoinToss):
    """Every instance plays a little differently."""

    def __init__(self) -> None:
        self._asked = 0

    def episode(self, seed: int, index: int) -> Trace:
        self._asked += 1
        return super().episode(seed, index + self._asked % 3)


class Stuck(CoinToss):
    """Always the same episode, with the seed in it."""

    def episode(self, seed: int, index: int) -> Trace:
        meta = {"source": "coins", "episode_index": index, "seed": seed}
        return Trace("Call it.", "heads", (Step(0, "call", "heads"),), meta)


class TestCoinToss(GameConformance):
    factory = "tests.test_games:CoinToss"

    def make(self) -> Game:
        return CoinToss()


@pytest.mark.parametrize(
    ("game", "broken"),
    [
        (Shifted, "test_neighbouring_seeds_are_not_shifted_copies"),
        (Careless, "test_the_same_address_gives_the_same_bytes_in_any_order"),
        (Stuck, "test_indices_differ"),
        (Stuck, "test_episodes_are_valid_traces_with_strict_json"),
    ],
)
def test_the_suite_of_games_bites(game: type[CoinToss], broken: str) -> None:
    suite = TestCoinToss()
    getattr(suite, broken)()
    suite.make = game  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        getattr(suite, broken)()


def coins() -> SimpleNamespace:
    @hookimpl
    def tunix_games() -> list[GameContribution]:
        return [GameContribution(name="coin-toss", summary="Heads or tails", factory=CoinToss)]

    return SimpleNamespace(__name__="acme", tunix_games=tunix_games)


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    with Workspace(tmp_path / "workspace", Plugins.of(coins())) as opened:
        yield opened


def test_a_seed_is_kept_and_gives_the_same_episodes(workspace: Workspace) -> None:
    first = workspace.traces.play("coin-toss", 20, seed=3)
    assert workspace.traces.play("acme/coin-toss", 20, seed=3) == first
    assert [(trace.meta or {})["episode_index"] for trace in first] == list(range(20))
    assert {(trace.meta or {})["seed"] for trace in first} == {3}
    assert workspace.traces.play("coin-toss", 5, seed=3) == first[:5]
    assert workspace.traces.count() == 0, "playing stores nothing"


def test_without_a_seed_every_call_plays_other_episodes(workspace: Workspace) -> None:
    played = [workspace.traces.play("coin-toss", 64) for _ in range(2)]
    assert played[0] != played[1]
    assert all("seed" not in (trace.meta or {}) for trace in played[0])


def test_what_cannot_be_played_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="did you mean 'coin-toss'"):
        workspace.traces.play("coin-tos", 1)
    with pytest.raises(UsageError, match="count 0"):
        workspace.traces.play("coin-toss", 0)
    with pytest.raises(UsageError, match="no settings"):
        workspace.traces.play("coin-toss", 1, settings={"sides": 3})


def run(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunix_core.cli", "--workspace", str(workspace), "traces"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_writes_stores_and_exports_episodes(tmp_path: Path) -> None:
    play = ("play", "high-card-duel", "--count", "5", "--seed", "42")
    printed = run(tmp_path / "w", *play)
    assert printed.returncode == 0, printed.stderr
    written = run(tmp_path / "w", *play, "-o", str(tmp_path / "duels.jsonl"))
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "duels.jsonl").read_text() == printed.stdout
    assert len(printed.stdout.splitlines()) == 5
    stored = run(tmp_path / "w", *play, "--store", "--json")
    assert stored.returncode == 0, stored.stderr
    with Workspace(tmp_path / "w") as workspace:
        for row, line in zip(json.loads(stored.stdout), printed.stdout.splitlines(), strict=True):
            assert workspace.traces.get_json(row["id"]).body == line
        assert workspace.traces.sources() == {"ungar": 5}
    both = run(tmp_path / "w", *play, "--store", "-o", "x")
    assert both.returncode == 2
    assert "exclude each other" in both.stderr
