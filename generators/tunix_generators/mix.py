"""dev-reasoning-v1: which question is item i of a split, for any i, without those before it.

The questions of a family at a level are numbered points. One shuffle of the points, the same for
every seed, decides the splits: its first 90 % are for training, then 5 % for validation and 5 %
for testing, so that a question's split follows from its content. A second shuffle, keyed by the
seed, orders the points within a split. Nothing repeats, nothing is searched for, and the
capacity is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from attrs import Attribute, field, frozen

from tunix_core.errors import CapacityError, UsageError
from tunix_core.records import Item, Step, StepVerdict, Trace
from tunix_generators.checking import check_work
from tunix_generators.families import FAMILIES
from tunix_generators.family import LEVELS, Family, Question
from tunix_generators.permutation import Surface, permute
from tunix_generators.work import WorkStep, render_step

NAME = "dev-reasoning-v1"
VERSION = "1"

# Parts of the shared shuffle in percent, in order.
SPLITS = {"train": 90, "validation": 5, "test": 5}


def _families(_: object, attribute: Attribute[Any], names: tuple[str, ...] | None) -> None:
    for name in names or ():
        if name not in FAMILIES:
            raise ValueError(f"no family {name!r}; known: {', '.join(sorted(FAMILIES))}")


def _share(_: object, attribute: Attribute[Any], value: int) -> None:
    if not 0 <= value <= 100:
        raise ValueError(f"{attribute.name}: must be 0 to 100, got {value}")


def _level(_: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None and value not in LEVELS:
        raise ValueError(f"{attribute.name}: must be one of {LEVELS} or null, got {value}")


@frozen
class MixConfig:
    """Which questions, and how many of which kind.

    Args:
        difficulty: 1, 2 or 3; None takes them in turn, going on with the harder ones where the
            easier ones are used up.
        families: Only these families; None takes all.
        reasoning_share: Percent of reasoning items; the rest is synthetic. It holds to the item
            for every size. When ``families`` are of one category only, all items are of it.
    """

    difficulty: int | None = field(default=None, validator=_level)
    families: tuple[str, ...] | None = field(default=None, validator=_families)
    reasoning_share: int = field(default=70, validator=_share)

    def label(self) -> str:
        """The config as short text; :meth:`parse` reads it."""
        names = "all" if self.families is None else "+".join(self.families)
        return f"{self.reasoning_share}/{self.difficulty or 'all'}/{names}"

    @classmethod
    def parse(cls, label: str) -> MixConfig:
        """The config of a label.

        Raises:
            UsageError: It is no label.
        """
        try:
            share, difficulty, names = label.split("/")
            return cls(
                None if difficulty == "all" else int(difficulty),
                None if names == "all" else tuple(names.split("+")),
                int(share),
            )
        except ValueError as error:
            raise UsageError(f"{label!r} is no mix of {NAME}: {error}") from None


def split_range(size: int, split: str) -> tuple[int, int]:
    """First place and number of places of a split in a shuffle of ``size``."""
    begin = 0
    for name, percent in SPLITS.items():
        end = begin + percent
        first, last = size * begin // 100, size * end // 100
        if name == split:
            return first, last - first
        begin = end
    raise UsageError(f"no split {split!r}", f"known: {', '.join(SPLITS)}")


class DevReasoning:
    """The generator ``dev-reasoning-v1``."""

    def __init__(self, config: MixConfig | None = None) -> None:
        self.config = config or MixConfig()
        chosen = [FAMILIES[name] for name in sorted(set(self.config.families or FAMILIES))]
        self._levels = LEVELS if self.config.difficulty is None else (self.config.difficulty,)
        self._reasoning = [family for family in chosen if family.category == "reasoning"]
        self._synthetic = [family for family in chosen if family.category == "synthetic"]
        self._label = self.config.label()
        # With one category to choose from there is nothing to share.
        self._share = self.config.reasoning_share
        if not self._reasoning or not self._synthetic:
            self._share = 100 if self._reasoning else 0

    def item(self, split: str, seed: int, index: int) -> Item:
        """Item ``index`` of a split; any index costs the same.

        Raises:
            UsageError: No such split, or a negative index.
            CapacityError: There are fewer distinct items.
        """
        family, level, place = self._locate(split, index)
        point = _point(family, level, split, seed, place)
        question = _question(family, level, point)
        steps = tuple(
            Step(number, step.role, render_step(step, _wording(step, level, point + number)))
            for number, step in enumerate(question.steps)
        )
        meta = {
            "source": NAME,
            "category": family.category,
            "family": family.name,
            "difficulty": level,
            "split": split,
            "seed": seed,
            "mix": self._label,
            "index": index,
            "version": VERSION,
            "answer_type": family.answer_type,
        }
        trace = Trace(question.prompt, question.answer, steps, meta)
        return Item(f"{NAME}/{VERSION}/{self._label}/{split}/{seed}/{index}", trace)

    def verify(self, item: Item, answer: str) -> bool:
        """Whether ``answer`` is the answer, found in closed form instead of by the work."""
        family, level, point = self._origin(item)
        return answer == family.answer(level, family.values(level, point))

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        """Re-execute every line of ``text`` and hold it against the work that the item needs."""
        return check_work(self.work(item).steps, text)

    def work(self, item: Item) -> Question:
        """The structured steps of an item, made again from its meta."""
        family, level, point = self._origin(item)
        return _question(family, level, point)

    def capacity(self, split: str) -> int:
        """Number of distinct items of a split: as many as every family can give its share of."""
        bounds = []
        for families, share in (
            (self._reasoning, self._share),
            (self._synthetic, 100 - self._share),
        ):
            if families and share:
                least = min(sum(self._capacities(family, split)) for family in families)
                # The first index whose category has handed out all that its families hold.
                bounds.append(_first_index(least * len(families), share, self._share))
        return min(bounds)

    def _locate(self, split: str, index: int) -> tuple[Family, int, int]:
        if index < 0:
            raise UsageError(f"item {index} does not exist", "items count from 0")
        before = index * self._share // 100
        reasoning = (index + 1) * self._share // 100 > before
        families = self._reasoning if reasoning else self._synthetic
        running = before if reasoning else index - before
        place, which = divmod(running, len(families))
        family = families[which]
        level, place = self._level_of(family, split, place)
        return family, level, place

    def _level_of(self, family: Family, split: str, place: int) -> tuple[int, int]:
        """Levels take turns; one that is used up drops out."""
        left = list(zip(self._levels, self._capacities(family, split), strict=True))
        used = 0
        while left:
            shortest = min(capacity for _, capacity in left)
            turns = (shortest - used) * len(left)
            if place < turns:
                turn, which = divmod(place, len(left))
                return left[which][0], used + turn
            place -= turns
            used = shortest
            left = [(level, capacity) for level, capacity in left if capacity > shortest]
        raise CapacityError(
            f"family {family.name} has no more distinct items in split {split!r}",
            f"with this mix the split holds {self.capacity(split)}",
        )

    def _capacities(self, family: Family, split: str) -> Sequence[int]:
        return [split_range(family.cardinality(level), split)[1] for level in self._levels]

    def _origin(self, item: Item) -> tuple[Family, int, int]:
        meta = item.trace.meta or {}
        if meta.get("source") != NAME or meta.get("version") != VERSION:
            raise UsageError(f"item {item.id} was not made by {NAME} version {VERSION}")
        generator = self if meta["mix"] == self._label else _generator(meta["mix"])
        split, seed = meta["split"], meta["seed"]
        family, level, place = generator._locate(split, meta["index"])
        return family, level, _point(family, level, split, seed, place)


@lru_cache(maxsize=64)
def _generator(label: str) -> DevReasoning:
    return DevReasoning(MixConfig.parse(label))


def _point(family: Family, level: int, split: str, seed: int, place: int) -> int:
    size = family.cardinality(level)
    first, count = split_range(size, split)
    key = f"{NAME}/{VERSION}/{family.name}/{level}"
    return permute(first + permute(place, count, f"{key}/{split}/{seed}"), size, key)


def _question(family: Family, level: int, point: int) -> Question:
    surface = Surface(f"{NAME}/{VERSION}/{family.name}/{level}/{point}")
    return family.question(level, family.values(level, point), surface)


def _wording(step: WorkStep, level: int, variant: int) -> int:
    """The easiest level computes in the plainest words."""
    return 0 if level == 1 and step.role == "compute" else variant


def _first_index(items: int, share: int, reasoning_share: int) -> int:
    """The first index at which a category of ``share`` percent would need more than ``items``."""
    if share == reasoning_share:
        # The reasoning items before index i number floor(i * share / 100).
        return ((items + 1) * 100 + share - 1) // share - 1
    # The others before index i number ceil(i * share / 100).
    return items * 100 // share
