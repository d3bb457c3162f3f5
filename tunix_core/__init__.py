"""tunix-rt: a plugin framework that trains language models to show their work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunix_core.hookspecs import hookimpl as hookimpl
    from tunix_core.workspace import Workspace as Workspace

__all__ = ["Workspace", "hookimpl"]

_LAZY = {"Workspace": "tunix_core.workspace", "hookimpl": "tunix_core.hookspecs"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("tunix-core")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
