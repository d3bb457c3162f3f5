"""What is examined of a registered plugin before anything that it offers is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import pluggy

from tunix_core.contributions import COMMAND, KINDS, Kind
from tunix_core.errors import one_line
from tunix_core.plugins.loading import PluginRecord, Status
from tunix_core.plugins.lookup import Lookup, Provided


class RefusedError(Exception):
    """A plugin cannot be used.

    Args:
        status: What becomes of it.
        reason: Why, in one line.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def offers(
    manager: pluggy.PluginManager, record: PluginRecord, taken: Lookup
) -> list[Provided[Any, Any]]:
    """Everything that a registered plugin offers.

    Args:
        manager: Where it is registered.
        record: The plugin.
        taken: What other plugins offer.

    Raises:
        RefusedError: It implements a hook that nobody specified, one of its hooks fails or
            returns something else than its kind of descriptor, or a name is taken.
    """
    unknown = _unknown_hook(manager, record.key)
    if unknown is not None:
        raise RefusedError("invalid", unknown)
    offered: list[Provided[Any, Any]] = []
    for kind in KINDS:
        for implementation in getattr(manager.hook, kind.hook).get_hookimpls():
            if implementation.plugin_name == record.key:
                offered += _returned(kind, implementation, record)
    _check_names(offered, taken)
    return offered


def _returned(
    kind: Kind[Any, Any], implementation: pluggy.HookImpl, record: PluginRecord
) -> list[Provided[Any, Any]]:
    """What one hook of a plugin returns."""
    try:
        returned: Any = implementation.function()
        contributions = list(returned)
    except (Exception, SystemExit) as error:
        raise RefusedError("invalid", f"{kind.hook} failed: {one_line(error)}") from None
    for contribution in contributions:
        if not isinstance(contribution, kind.descriptor):
            returned_name = type(contribution).__name__
            raise RefusedError("invalid", f"{kind.hook} returned a {returned_name}")
    return [Provided(kind, c, record.distribution, record.version) for c in contributions]


def _check_names(offered: Sequence[Provided[Any, Any]], taken: Lookup) -> None:
    """Refuse a name that is taken; a command's is, whoever provides the other one."""
    for place, provided in enumerate(offered):
        others = [
            *taken.all(provided.kind),
            *(p for p in offered[:place] if p.kind is provided.kind),
        ]
        for other in others:
            if other.full_name == provided.full_name:
                what = f"{provided.kind.name} {provided.full_name}"
                raise RefusedError("duplicate", f"{what} is offered twice")
            if provided.kind is COMMAND and other.bare_name == provided.bare_name:
                what = f"command {provided.bare_name!r}"
                raise RefusedError("duplicate", f"{what} is provided by {other.full_name} already")


def _unknown_hook(manager: pluggy.PluginManager, key: str) -> str | None:
    """What is wrong with a hook that a plugin implements and nobody specified."""
    known = {name for name in dir(manager.hook) if not name.startswith("_")}
    pending = []
    for name in sorted(known):
        caller = getattr(manager.hook, name)
        if not caller.has_spec():
            mine = [i for i in caller.get_hookimpls() if i.plugin_name == key]
            pending += [name for i in mine if not i.optionalhook]
    if not pending:
        return None
    specified = [name for name in known if getattr(manager.hook, name).has_spec()]
    close = get_close_matches(pending[0], specified, n=1)
    return f"unknown hook {pending[0]!r}" + (f", did you mean {close[0]!r}?" if close else "")
