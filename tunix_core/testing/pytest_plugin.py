"""Loaded by pytest wherever tunix-core is installed; registers the marker of the suites."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "tunix_conformance: a guarantee that every contribution of its kind gives"
    )
