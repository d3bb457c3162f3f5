"""What fits: one model at several lengths, with all weights trained and with LoRA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from attrs import evolve

from tunix_jax.config import TrainerConfig
from tunix_jax.fit.check import FitRequest, check_fit
from tunix_jax.fit.memory import gib

LENGTHS = (2048, 4096, 8192, 16_384, 32_768)
LORA_RANK = 16


def table_rows(
    request: FitRequest, during: Callable[[str], AbstractContextManager[Any]]
) -> Iterator[dict[str, Any]]:
    """A row for each length, compiled one after another.

    Args:
        request: Model, devices and all settings but length and LoRA.
        during: Called with what is compiled; it lasts as long as that takes.
    """
    for length in LENGTHS:
        row: dict[str, Any] = {"model": request.config.model_id, "rows x length": ""}
        row["rows x length"] = f"{request.config.rows} x {length}"
        for name, rank in (("all weights", 0), (f"LoRA {LORA_RANK}", LORA_RANK)):
            config = _with(request.config, length, rank)
            with during(f"{name}, {request.config.rows} x {length}"):
                report = check_fit(evolve(request, config=config))
            row[f"{name}: GiB"] = gib(report.memory.total) + ("" if report.fits else " (no)")
            rate = report.tokens_per_second
            row[f"{name}: tokens/s at most"] = None if rate is None else f"{rate:,.0f}"
        yield row


def _with(config: TrainerConfig, length: int, rank: int) -> TrainerConfig:
    return evolve(config, max_length=length, lora_rank=rank, lora_alpha=2.0 * (rank or 1))
