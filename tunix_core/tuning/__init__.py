"""Searches for the settings with which training does best."""

from tunix_core.tuning.service import Tuning

__all__ = ["Tuning"]
