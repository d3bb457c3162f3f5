"""What the good plugin does; not imported before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from attrs import field, frozen
from attrs.validators import ge

from tunix_core.records import Completion, Estimate, Item, Score, Scorecard


@frozen
class BrevityConfig:
    """Settings.

    Args:
        most: Characters that score 0.
        strict: Whether a longer text scores less than that.
        label: A name for it.
    """

    most: int = field(default=200, validator=ge(1))
    strict: bool = False
    label: str = "brevity"


class Brevity:
    def __init__(self, config: BrevityConfig) -> None:
        self._most = config.most

    def score(self, item: Item, completion: Completion) -> Score:
        return Score(item.id, max(0.0, 1 - len(completion.text) / self._most))

    def aggregate(self, scores: Sequence[Score]) -> Scorecard:
        return Scorecard(Estimate(None, None, None, 0), len(scores))


@click.command()
@click.argument("name")
@click.pass_context
def greet(ctx: click.Context, name: str) -> None:
    """Greet somebody, and tell the listeners."""
    if name == "nobody":
        raise RuntimeError("there is\nnobody")
    click.echo(f"hello {name}")
    plugins: Any = ctx.ensure_object(dict)["plugins"]
    plugins.observe("acme_greeted", name=name)
