"""Metrics of the server, as Prometheus reads them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tunix_core.records import TERMINAL_STATUSES, RunTotal

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
WRITE_BUCKETS_MS = (10, 50, 100, 200, 500, 1000, 2000, 5000)
REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# From a dry run to a session of half a day.
RUN_BUCKETS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 36000)


class Metrics:
    """The metrics of one application.

    What happens in this process is counted as it happens. Runs are executed by other processes
    too, so their numbers come from the database whenever the metrics are read.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._writes = Histogram(
            "tunix_db_write_latency_ms",
            "Milliseconds that a write to the database took",
            ["operation"],
            buckets=WRITE_BUCKETS_MS,
            registry=self.registry,
        )
        self._requests = Counter(
            "tunix_http_requests",
            "Requests answered",
            ["method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "tunix_http_request_duration_seconds",
            "Seconds until a request was answered completely",
            buckets=REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self._by_label: dict[tuple[str, int], Counter] = {}

    @contextmanager
    def observe_write(self, operation: str) -> Iterator[None]:
        """Take the time of a write to the database; one that fails counts as well.

        Args:
            operation: What is written, say ``create_trace``.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            self._writes.labels(operation).observe((time.perf_counter() - began) * 1000)

    def observe_request(self, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        counter = self._by_label.get((method, status))
        if counter is None:
            counter = self._requests.labels(method, str(status))
            self._by_label[method, status] = counter
        counter.inc()
        self._request_seconds.observe(seconds)

    def exposition(self, runs: Sequence[RunTotal]) -> bytes:
        """All metrics in Prometheus' text format, of media type ``CONTENT_TYPE``.

        Args:
            runs: What ``workspace.runs.totals(RUN_BUCKETS_S)`` returned just now.
        """
        of_runs = CollectorRegistry()
        of_runs.register(_RunCollector(runs))
        return generate_latest(of_runs) + generate_latest(self.registry)


class _RunCollector(Collector):
    """The runs of the workspace, whoever executed them."""

    def __init__(self, totals: Sequence[RunTotal]) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        ended = CounterMetricFamily("tunix_runs", "Runs that have ended", labels=["status", "mode"])
        present = GaugeMetricFamily(
            "tunix_runs_active", "Runs that wait or are executed now", labels=["status", "mode"]
        )
        durations = HistogramMetricFamily(
            "tunix_runs_duration_seconds",
            "Seconds from the start of a run to its end",
            labels=["mode", "status"],
        )
        for total in self._totals:
            if total.status not in TERMINAL_STATUSES:
                present.add_metric([total.status, total.mode], total.count)
                continue
            ended.add_metric([total.status, total.mode], total.count)
            bounds = [*(f"{float(bound)}" for bound in RUN_BUCKETS_S), "+Inf"]
            counts = [*total.within, total.timed]
            durations.add_metric(
                [total.mode, total.status],
                buckets=list(zip(bounds, counts, strict=True)),
                sum_value=total.seconds,
            )
        return [ended, present, durations]
