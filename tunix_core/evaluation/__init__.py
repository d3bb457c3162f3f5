"""Predictions, what evaluators say of them, and what follows from it."""

from tunix_core.evaluation.service import Evaluations

__all__ = ["Evaluations"]
