"""Exports the service's own metrics through Ray, for Prometheus, beside Serve's (`ray_neverblank_...`)."""

import asyncio
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from ray.util import metrics as ray_metrics

from deployments.observability.metric_table import RARE, SECONDS, Kind, Metric
from deployments.observability.metrics import Labels, drain_counts

FLUSH_S = 1.0
GAUGES_S = 5.0
"""Seconds between two readings of the gauges. To read them takes a router's description of all models."""

_LEAST = 1e-6  # a counter of Ray's takes nothing that is not above 0

Gauges = Iterable[tuple[Metric, Labels, float]]
"""Values of gauges, with the values of their labels."""


async def flush_forever(read_gauges: Callable[[], Gauges]) -> None:
    """Export what has been counted, every `FLUSH_S` seconds, and once more at the end; the gauges more seldom."""
    since = GAUGES_S
    for metric, labels in RARE:
        exported(metric).inc(_LEAST, tags=dict(zip(metric.labels, labels, strict=True)))
    try:
        while True:
            await asyncio.sleep(FLUSH_S)
            flush()
            since += FLUSH_S
            if since >= GAUGES_S:
                since = 0.0
                set_gauges(read_gauges())
    finally:
        flush()


def flush() -> None:
    """Export what has been counted since the last time."""
    counts = drain_counts()
    for (metric, labels), count in counts.counted.items():
        exported(metric).inc(max(count, _LEAST), tags=dict(zip(metric.labels, labels, strict=True)))
    for metric, labels, seconds in counts.durations:
        exported(metric).observe(seconds, tags=dict(zip(metric.labels, labels, strict=True)))


def set_gauges(gauges: Gauges) -> None:
    """Export `gauges`."""
    for metric, labels, value in gauges:
        exported(metric).set(value, tags=dict(zip(metric.labels, labels, strict=True)))


@cache
def exported(metric: Metric) -> Any:
    """Return Ray's metric for `metric`, made when it is first used: to import this module registers nothing."""
    match metric.kind:
        case Kind.COUNTER:
            return ray_metrics.Counter(metric.name, metric.meaning, metric.labels)
        case Kind.GAUGE:
            return ray_metrics.Gauge(metric.name, metric.meaning, metric.labels)
        case Kind.HISTOGRAM:
            return ray_metrics.Histogram(metric.name, metric.meaning, list(SECONDS), metric.labels)
