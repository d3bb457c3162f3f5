"""Arithmetic as people write it: found in a text, and computed again exactly."""

from tunix_core.evaluators.arithmetic.statements import Equation, Reading, equations, read

__all__ = ["Equation", "Reading", "equations", "read"]
