"""Datasets: immutable selections of traces."""

from tunix_core.datasets.service import Datasets

__all__ = ["Datasets"]
