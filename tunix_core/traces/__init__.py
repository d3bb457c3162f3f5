"""Traces: imported, generated, listed, counted and exported."""

from tunix_core.traces.service import Traces

__all__ = ["Traces"]
