"""A fit report in the words that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunix_jax.fit.changes import Change
from tunix_jax.fit.check import FitReport
from tunix_jax.fit.memory import gib

# What each bound rests on.
_BOUNDS = {
    "compute": "{:.1f} TFLOP at the peak of the matrix units",
    "memory": "weights, state and block inputs through device memory",
    "links": "weights and gradients between devices",
}


def report_rows(report: FitReport) -> Iterator[dict[str, str]]:
    """What a report says, a row each: ``what``, ``amount`` and ``note``."""
    config, memory = report.request.config, report.memory
    tuned = f"LoRA of rank {config.lora_rank}" if config.lora_rank else "all weights"
    yield _row("model", config.model_id, f"{tuned}, {config.optimizer}, remat {config.remat}")
    chip = "" if report.bounds is None else f"{config.dtype}"
    yield _row("devices", f"{report.devices}", f"{report.topology} {chip}".strip())
    parts = f", {config.accumulation} micro-batches" if config.accumulation > 1 else ""
    yield _row("step", f"{report.tokens_per_step:,} tokens", f"{_rows(report)}{parts}")
    for name in ("weights", "moments", "batch", "temporaries", "total"):
        note = {
            "weights": "exact, per device, as all bytes here",
            "moments": "exact",
            "batch": "exact",
            "temporaries": "from the compiler",
            "total": "" if report.limit_bytes is None else f"of {gib(report.limit_bytes)} GiB",
        }[name]
        yield _row(name, f"{gib(getattr(memory, name))} GiB", note)
    yield from _bounds(report)


def _bounds(report: FitReport) -> Iterator[dict[str, str]]:
    bounds = report.bounds
    if bounds is None:
        yield _row("bound", "not known", "the rates of these devices are in no table")
        return
    seconds = {
        "compute": bounds.compute_seconds,
        "memory": bounds.memory_seconds,
        "links": bounds.links_seconds,
    }
    teraflops = bounds.flops.hardware / report.devices / 1e12
    for name, value in seconds.items():
        yield _row(f"{name} bound", f"{value:.3g} s", _BOUNDS[name].format(teraflops))
    yield _row("step bound", f"{bounds.seconds:.3g} s", f"{bounds.binds} binds")
    yield _row("rate bound", f"{report.tokens_per_second:,.0f} tokens/s", "over all devices")
    if report.hours is not None:
        yield _row("time bound", f"{report.hours:.3g} h", f"for {report.request.tokens:,} tokens")


def verdict(report: FitReport) -> str:
    """One line: whether it fits."""
    total = gib(report.memory.total)
    if report.limit_bytes is None:
        return f"{total} GiB per device; how much there is is not known"
    word = "fits" if report.fits else "does not fit"
    return f"{word}: {total} of {gib(report.limit_bytes)} GiB per device"


def change_rows(changes: Sequence[Change]) -> Iterator[dict[str, str]]:
    """Changes with which it fits, a row each."""
    for change in changes:
        how = "compiled" if change.compiled else "estimated"
        yield {"settings": change.text, "GiB per device": gib(change.total_bytes), "found": how}


def _rows(report: FitReport) -> str:
    return f"{report.request.config.rows} rows of {report.request.config.max_length}"


def _row(what: str, amount: str, note: str) -> dict[str, str]:
    return {"what": what, "amount": amount, "note": note}
