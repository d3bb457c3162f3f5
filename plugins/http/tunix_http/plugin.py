"""What this distribution offers; imports nothing heavy."""

from __future__ import annotations
