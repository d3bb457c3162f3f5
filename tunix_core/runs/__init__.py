"""Runs of trainers: asked for, executed, followed."""

from tunix_core.runs.service import Runs

__all__ = ["Runs"]
