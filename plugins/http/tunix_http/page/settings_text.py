"""Settings as people type them: one ``key=value`` on a line."""

from __future__ import annotations

import json
from typing import Any

from tunix_core.errors import UsageError


def parse_settings(text: str) -> dict[str, Any]:
    """``"steps=3\\nmodel_id=tiny"`` to ``{"steps": 3, "model_id": "tiny"}``.

    A value that is JSON is read as such, any other is text.

    Raises:
        UsageError: A line has no ``=``, or a key is given twice.
    """
    settings: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or not equals:
            raise UsageError(f"setting {line[:80]!r} is not KEY=VALUE")
        if key in settings:
            raise UsageError(f"setting {key!r} is given twice")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings
