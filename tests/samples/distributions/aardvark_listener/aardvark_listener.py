"""Listens to the good plugin's own hook, and fails when a dataset is built."""

from __future__ import annotations

import sys

from tunix_core import hookimpl


@hookimpl
def acme_greeted(name: str) -> None:
    print(f"heard of {name}", file=sys.stderr)  # noqa: T201


@hookimpl
def tunix_dataset_built() -> None:
    raise RuntimeError("the listener\nis out of order")
