"""Lengths of time as people write them."""

from __future__ import annotations

import re

from tunix_core.errors import UsageError

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|(\d+)", re.ASCII)


def seconds(text: str) -> float:
    """``"8h30m"``, ``"90s"`` or ``"90"`` in seconds; only a number that stands alone has no unit.

    Raises:
        UsageError: It is not written like that.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise UsageError(f"{text!r} is no duration", "write 8h30m, 45m or 90s")
    hours, minutes, rest, bare = (int(part or 0) for part in match.groups())
    return float(3600 * hours + 60 * minutes + rest + bare)
