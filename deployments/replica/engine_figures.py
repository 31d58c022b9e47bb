"""The figures of a replica's engine, as metrics: exported whenever Serve checks the health of the replica."""

from collections.abc import Mapping
from typing import Any

from deployments.observability import log
from deployments.observability import metric_table as table
from deployments.ray_serve.metrics import flush, set_gauges

_FIGURES = (("active", table.ENGINE_ACTIVE), ("capacity", table.ENGINE_CAPACITY))


def export_engine(name: str, described: Mapping[str, Any]) -> None:
    """Export what the replica has counted, and how full the engine of its model is.

    Args:
        name: the name of the model.
        described: what the replica says of itself; an engine without figures has none in there.
    """
    try:
        flush()
        set_gauges((metric, (name,), described[key]) for key, metric in _FIGURES if key in described)
    except Exception as error:  # noqa: BLE001 - a bug of ours must not have a replica replaced
        log.internal_error("metrics", name, error)
