"""Keeps what processes have run for coverage that are ended without notice, as Ray ends its workers.

`pyproject.toml` names this module as a plugin of coverage, which loads it in every process that it measures. Coverage
writes its data when a process exits; a process that is killed exits without. Hence every process beside the one of
pytest writes its data every few seconds, too.
"""

import threading
import time
from typing import Any

import coverage
from coverage.plugin_support import Plugins

_EVERY_S = 2.0


def coverage_init(registry: Plugins, options: Any) -> None:
    """Start to write; coverage calls this as it starts in a process."""
    threading.Thread(target=_write, name="coverage", daemon=True).start()


def _write() -> None:
    while True:
        time.sleep(_EVERY_S)
        measured: coverage.Coverage | None = getattr(coverage.process_startup, "coverage", None)
        if measured is None:
            return  # the process of pytest: pytest-cov writes at its end
        measured.save()
