"""What plugins give the HTTP surface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from tunix_http.operations import Operations


@frozen(kw_only=True)
class RouteContribution:
    """A group of operations.

    Args:
        factory: ``"module:attribute"`` of an :class:`~tunix_http.operations.Operations`.
    """

    factory: str

    def load(self) -> Operations:
        """The operations."""
        module, _, attribute = self.factory.partition(":")
        operations: Operations = getattr(import_module(module), attribute)
        return operations
