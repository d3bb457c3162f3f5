"""Models: runs promoted to immutable versions."""

from tunix_core.models.service import Models

__all__ = ["Models"]
