"""The high card duel: its cards, its rules, its deals, and the traces that it writes."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.codec import trace_to_json
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins
from tunix_core.protocols import Game
from tunix_core.testing.game import GameConformance
from tunix_core.workspace import Workspace
from tunix_ungar import plugin
from tunix_ungar.cards import DECK, Card, CardTensor
from tunix_ungar.duel import Duel, deal
from tunix_ungar.game import HighCardDuel, HighCardDuelConfig

LOOKALIKE = Path(__file__).parent / "lookalike"
cards = st.sampled_from(DECK)
addresses = st.tuples(st.integers(), st.integers(min_value=0))


class TestHighCardDuel(GameConformance):
    factory = "tunix_ungar.game:HighCardDuel"

    def make(self) -> Game:
        return HighCardDuel()


def test_the_deck_has_52_cards_with_two_letters_each() -> None:
    assert len({str(card) for card in DECK}) == 52
    assert str(Card(0, 8)) == "TS"
    assert str(DECK[0]) == "2S"
    assert str(DECK[-1]) == "AC"


@given(st.permutations(DECK), st.integers(0, 52), st.integers(0, 52))
def test_a_tensor_gives_back_the_cards_that_lie_in_it(
    deck: list[Card], first: int, second: int
) -> None:
    low, high = sorted((first, second))
    planes = {"mine": deck[:low], "played": deck[low:high], "unseen": deck[high:]}
    tensor = CardTensor.of(planes)
    assert tensor.shape == (4, 14, 3)
    assert len(tensor.cells) == 4 * 14 * 3
    for plane, held in planes.items():
        assert set(tensor.cards(plane)) == set(held)
        assert tensor.count(plane) == len(held)
    joker_cells = [tensor.cells[(suit * 14 + 13) * 3 : (suit * 14 + 14) * 3] for suit in range(4)]
    assert joker_cells == [bytes(3)] * 4


@given(addresses, st.sampled_from([0, 1]))
def test_a_player_sees_every_card_in_exactly_one_plane(
    address: tuple[int, int], player: int
) -> None:
    state = deal(*address)
    while True:
        seen = state.observe(player)
        planes = [set(seen.cards(plane)) for plane in seen.planes]
        assert set().union(*planes) == set(DECK)
        assert sum(len(plane) for plane in planes) == 52
        hidden = set(state.hands[state.revealed :]) - {state.hands[player]}
        assert hidden <= set(seen.cards("unseen")), "the other's hidden card is not shown"
        if state.player is None:
            break
        state = state.play("reveal")
    assert state.observe(player).cards("my_hand") == ()


@given(cards, cards)
def test_the_higher_rank_wins_and_equal_ranks_tie(mine: Card, other: Card) -> None:
    over = Duel((mine, other)).play("reveal").play("reveal")
    won = (mine.rank > other.rank) - (mine.rank < other.rank)
    assert over.rewards() == (won, -won)
    assert Duel((other, mine), revealed=2).rewards() == (-won, won)


def test_only_legal_moves_are_made_and_only_an_ended_game_is_judged() -> None:
    state = deal(42, 0)
    assert (state.player, state.legal_moves()) == (0, ("reveal",))
    with pytest.raises(UsageError, match="legal: reveal"):
        state.play("fold")
    with pytest.raises(UsageError, match="no reward"):
        state.rewards()
    over = state.play("reveal").play("reveal")
    assert (over.player, over.legal_moves()) == (None, ())
    with pytest.raises(UsageError, match="the game is over"):
        over.play("reveal")


def test_a_hundred_games_have_the_shape_of_the_contract() -> None:
    game = HighCardDuel()
    results: Counter[str] = Counter()
    for index in range(100):
        trace = game.episode(7, index)
        meta = dict(trace.meta or {})
        mine, other = str(meta["my_card"]), str(meta["opponent_card"])
        assert mine != other
        assert trace.trace_version == "1.0"
        assert trace.final_answer == "reveal"
        assert [(step.i, step.type, step.content) for step in trace.steps] == [
            (0, "legal_moves", "Legal moves: [reveal]"),
            (1, "observation", f"My hand: {mine}"),
            (2, "unseen", "Unseen cards: 51"),
            (3, "decision", "Action chosen: reveal"),
        ]
        order = "23456789TJQKA"
        value = order.index(mine[0]) - order.index(other[0])
        expected = "tie" if value == 0 else "win" if value > 0 else "loss"
        assert meta == {
            "source": "ungar",
            "game": "high_card_duel",
            "episode_index": index,
            "my_card": mine,
            "opponent_card": other,
            "result": expected,
        }
        results[expected] += 1
    assert results["win"] > 30
    assert results["loss"] > 30
    assert 0 < results["tie"] < 20


def test_deals_are_fair() -> None:
    hands = [deal(1, index).hands for index in range(5200)]
    for player in (0, 1):
        counts = Counter(str(pair[player]) for pair in hands)
        assert len(counts) == 52
        # 100 of each are expected, with a standard deviation of 10.
        assert sum((many - 100) ** 2 / 100 for many in counts.values()) < 100


def test_the_deals_of_this_version_never_change() -> None:
    game = HighCardDuel()
    texts = [trace_to_json(game.episode(seed, index)) for seed in (42, -1) for index in range(50)]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    assert digest == "f0b28b1296afd3f306c98d7fa4b1a21d26d58942819174dda8d7139247e35158"


def test_the_ungar_package_is_asked_for_by_name_when_it_is_missing(tmp_path: Path) -> None:
    if importlib.util.find_spec("ungar") is not None:
        pytest.skip("the ungar package is installed")
    with (
        Workspace(tmp_path / "workspace", Plugins.of(plugin)) as workspace,
        pytest.raises(UsageError, match="not installed") as refused,
    ):
        workspace.traces.play("high-card-duel", 1, settings={"engine": "ungar"})
    assert refused.value.hint is not None
    assert "builtin" in refused.value.hint


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with (
        Workspace(tmp_path / "workspace", Plugins.of(plugin)) as workspace,
        pytest.raises(UsageError, match="engine: must be one of 'builtin', 'ungar'"),
    ):
        workspace.traces.play("high-card-duel", 1, settings={"engine": "dice"})


@pytest.fixture
def lookalike(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that has the public interface of ungar and deals as it does."""
    for name in [name for name in sys.modules if name.split(".")[0] == "ungar"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(LOOKALIKE)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "ungar"]:
        del sys.modules[name]


@pytest.mark.usefixtures("lookalike")
def test_through_the_ungar_package_seeds_mean_what_they_mean_to_others() -> None:
    game = HighCardDuel(HighCardDuelConfig("ungar"))
    assert game.version == "unknown"
    played = [dict(game.episode(42, index).meta or {}) for index in range(3)]
    assert [(meta["my_card"], meta["opponent_card"], meta["result"]) for meta in played] == [
        ("TS", "JH", "loss"),
        ("2H", "QH", "loss"),
        ("AH", "5S", "win"),
    ]
    ours = HighCardDuel().episode(0, 0)
    theirs = game.episode(42, 0)
    assert theirs.prompt == ours.prompt
    assert [step.type for step in theirs.steps] == [step.type for step in ours.steps]
    assert theirs.steps[1].content == "My hand: TS"
    assert theirs.steps[2] == ours.steps[2]


@pytest.mark.usefixtures("lookalike")
def test_a_package_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    game = HighCardDuel(HighCardDuelConfig("ungar"))
    module = sys.modules["ungar.games.high_card_duel"]
    monkeypatch.delattr(module.State, "returns")
    with pytest.raises(UsageError, match=r"cannot be used.*returns"):
        game.episode(42, 0)
    monkeypatch.delattr(module, "make_high_card_duel_spec")
    with pytest.raises(UsageError, match="cannot be used"):
        HighCardDuel(HighCardDuelConfig("ungar"))
