"""Health on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The server's own health."""

    status: Literal["healthy"]


class RediHealth(BaseModel):
    """RediAI's health; ``error`` is there only when it is down."""

    status: Literal["healthy", "down"]
    error: str = ""
