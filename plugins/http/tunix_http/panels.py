"""Panels: what plugins add to the web page, as data; the page's own templates draw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, get_args

from attrs import Attribute, field, frozen

from tunix_core import Workspace
from tunix_core.errors import UsageError

PanelPage = Literal[
    "overview", "trace", "dataset", "run", "evaluation", "regressions", "tuning", "model", "plugins"
]


def _known_page(_: object, attribute: Attribute[str], value: str) -> None:
    if value not in get_args(PanelPage):
        known = ", ".join(get_args(PanelPage))
        raise ValueError(f"{attribute.name}: no page {value!r}; known: {known}")


@frozen(kw_only=True)
class Panel:
    """What a panel shows.

    Args:
        heading: Its heading.
        text: A paragraph above the rest.
        rows: A table, each row by column name; the first row's keys are the columns.
        figure: A Plotly figure, ``{"data": [...], "layout": {...}}``, plain JSON data.
    """

    heading: str
    text: str | None = None
    rows: Sequence[Mapping[str, Any]] = ()
    figure: Mapping[str, Any] | None = None


@frozen(kw_only=True)
class PanelContribution:
    """A panel on one of the pages.

    Args:
        name: Name within its distribution.
        title: What it is called where it fails.
        page: The page it is on.
        factory: ``"module:attribute"`` or a callable: ``f(workspace, subject) -> Panel``.
            ``subject`` is the id, key or name that the page is about, None on pages about none.
    """

    name: str
    title: str
    page: PanelPage = field(validator=_known_page)
    factory: str | Callable[[Workspace, str | None], Panel]

    def make(self, workspace: Workspace, subject: str | None) -> Panel:
        """The panel.

        Raises:
            UsageError: The factory returned something else.
        """
        factory: Callable[[Workspace, str | None], Any]
        if isinstance(self.factory, str):
            module, _, attribute = self.factory.partition(":")
            factory = getattr(import_module(module), attribute)
        else:
            factory = self.factory
        panel = factory(workspace, subject)
        if not isinstance(panel, Panel):
            raise UsageError(f"the factory returned a {type(panel).__name__}, not a Panel")
        return panel
