"""dev-reasoning-v1: which question is item i of a split, for any i, without those before it.

The questions of a family at a level are numbered points. One shuffle of the points, the same for
every seed, decides the splits: its first 90 % are for training, then 5 % for validation and 5 %
for testing, so that a question's split follows from its content. A second shuffle, keyed by the
seed, orders the points within a split. Nothing repeats, nothing is searched for, and the
capacity is exact.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from attrs import Attribute, field, frozen

from tunix_core.errors import CapacityError, UsageError
from tunix_core.evaluators.answers import answers_match
from tunix_core.records import Item, Step, StepVerdict, Trace
from tunix_generators.checking import Corruption, check_work, corrupt
from tunix_generators.families import FAMILIES
from tunix_generators.family import LEVELS, Family, Question
from tunix_generators.permutation import Surface
from tunix_generators.placement import Layout, lay_out
from tunix_generators.work import WorkStep, render_step

NAME = "dev-reasoning-v1"
VERSION = "1"

# What in an item's meta says which item it is.
_ADDRESS = {"mix": str, "split": str, "seed": int, "index": int}


def _families(_: object, attribute: Attribute[Any], names: tuple[str, ...] | None) -> None:
    if names is not None and not names:
        raise ValueError("families: name at least one, or null for all")
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


@frozen
class _Part:
    """The families of one category in one split.

    Args:
        members: Each family with what it holds.
        capacity: Number of items that the families, taking turns, can give.
    """

    members: tuple[tuple[Family, Layout], ...]
    capacity: int

    @classmethod
    def of(cls, families: list[Family], split: str, levels: tuple[int, ...]) -> _Part:
        members = tuple((f, lay_out(f, split, levels, f"{NAME}/{VERSION}")) for f in families)
        # The first family in turn that is used up ends the part.
        ends = [layout.capacity * len(members) + turn for turn, (_, layout) in enumerate(members)]
        return cls(members, min(ends, default=0))


class DevReasoning:
    """The generator ``dev-reasoning-v1``.

    Args:
        config: Which questions; the default mix when None.
    """

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
        self._splits: dict[str, tuple[_Part, _Part, int]] = {}

    def item(self, split: str, seed: int, index: int) -> Item:
        """Item ``index`` of a split; any index costs the same.

        Raises:
            UsageError: No such split, or a negative index.
            CapacityError: There are fewer distinct items.
        """
        family, level, point = self._locate(split, seed, index)
        question = _question(family, level, point)
        steps = tuple(
            [
                Step(number, step.role, render_step(step, _wording(step, level, point + number)))
                for number, step in enumerate(question.steps)
            ]
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
        """Whether ``answer`` means the answer, found in closed form instead of by the work."""
        family, level, point = self._origin(item)
        due = family.answer(level, family.values(level, point))
        return answer == due or answers_match(answer, due, family.answer_type)

    def check(self, item: Item, text: str) -> list[StepVerdict]:
        """Re-execute every line of ``text`` and hold it against the work that the item needs."""
        return check_work(self.work(item).steps, text)

    def corrupt(self, item: Item, key: str) -> Corruption:
        """The item's work with one fault in it, chosen by ``key``, and where the fault is."""
        return corrupt(self.work(item).steps, f"{item.id}/{key}")

    def work(self, item: Item) -> Question:
        """The structured steps of an item, made again from its meta."""
        return _question(*self._origin(item))

    def canonical(self, item: Item) -> tuple[str, int, int]:
        """What an item asks, whatever its wording: family, level and point."""
        family, level, point = self._origin(item)
        return family.name, level, point

    def capacity(self, split: str) -> int:
        """Number of distinct items of a split: as many as every family can give its share of.

        Raises:
            UsageError: No such split.
        """
        return self._split(split)[2]

    def _split(self, split: str) -> tuple[_Part, _Part, int]:
        held = self._splits.get(split)
        if held is None:
            reasoning = _Part.of(self._reasoning, split, self._levels)
            synthetic = _Part.of(self._synthetic, split, self._levels)
            held = reasoning, synthetic, _capacity(reasoning, synthetic, self._share)
            self._splits[split] = held
        return held

    def _locate(self, split: str, seed: int, index: int) -> tuple[Family, int, int]:
        if index < 0:
            raise UsageError(f"item {index} does not exist", "items count from 0")
        reasoning, synthetic, capacity = self._split(split)
        if index >= capacity:
            raise CapacityError(
                f"no item {index}: split {split!r} of this mix holds {capacity} distinct items",
                "ask for fewer, or take more families or difficulties",
            )
        before = index * self._share // 100
        own = (index + 1) * self._share // 100 > before
        part, running = (reasoning, before) if own else (synthetic, index - before)
        place, which = divmod(running, len(part.members))
        family, layout = part.members[which]
        shelf, place = layout.find(place)
        return family, shelf.level, shelf.point(seed, place)

    def _origin(self, item: Item) -> tuple[Family, int, int]:
        meta = item.trace.meta or {}
        if meta.get("source") != NAME or meta.get("version") != VERSION:
            raise UsageError(f"item {item.id} was not made by {NAME} version {VERSION}")
        # Stored items can have been edited, so that nothing in them is taken on trust.
        for key, kind in _ADDRESS.items():
            if type(meta.get(key)) is not kind:
                raise UsageError(f"item {item.id} cannot be made again: meta.{key} is wrong")
        generator = self if meta["mix"] == self._label else _generator(meta["mix"])
        return generator._locate(meta["split"], meta["seed"], meta["index"])


@lru_cache(maxsize=64)
def _generator(label: str) -> DevReasoning:
    return DevReasoning(MixConfig.parse(label))


def _question(family: Family, level: int, point: int) -> Question:
    surface = Surface(f"{NAME}/{VERSION}/{family.name}/{level}/{point}")
    return family.question(level, family.values(level, point), surface)


def _wording(step: WorkStep, level: int, variant: int) -> int:
    """The easiest level computes in the plainest words."""
    return 0 if level == 1 and step.role == "compute" else variant


def _capacity(reasoning: _Part, synthetic: _Part, share: int) -> int:
    """The first index whose category has handed out all that its families hold."""
    bounds = []
    if share:
        # The reasoning items before index i number floor(i * share / 100).
        bounds.append(((reasoning.capacity + 1) * 100 + share - 1) // share - 1)
    if share < 100:
        # The others before index i number ceil(i * (100 - share) / 100).
        bounds.append(synthetic.capacity * 100 // (100 - share))
    return min(bounds)
