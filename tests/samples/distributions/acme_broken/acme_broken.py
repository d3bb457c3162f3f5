"""Needs something that is not installed."""

import acme_gpu  # type: ignore[import-not-found]  # noqa: F401
