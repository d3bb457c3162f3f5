"""Where RediAI is; read from the environment unless it is said."""

from __future__ import annotations

import os
from typing import Literal, cast

from attrs import Attribute, field, frozen

Mode = Literal["mock", "real"]


def _mode() -> Mode:
    return cast(Mode, os.environ.get("REDIAI_MODE", "mock"))


def _base_url() -> str:
    return os.environ.get("REDIAI_BASE_URL", "http://localhost:8080")


def _known_mode(_: object, __: Attribute[Mode], value: str) -> None:
    if value not in ("mock", "real"):
        raise ValueError(f"REDIAI_MODE must be mock or real, got {value!r}")


def _http(_: object, __: Attribute[str], value: str) -> None:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"REDIAI_BASE_URL must begin with http:// or https://, got {value!r}")


@frozen
class RediaiConfig:
    """How to reach RediAI.

    Args:
        mode: ``real`` asks it; ``mock`` says that there is none. ``REDIAI_MODE`` by default.
        base_url: Its address. ``REDIAI_BASE_URL`` by default.
    """

    mode: Mode = field(factory=_mode, validator=_known_mode)
    base_url: str = field(factory=_base_url, validator=_http)
