"""What a benchmark gives: a table to read, JSON to compare, a plot to look at."""

import json
import os
import platform
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import psutil
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("ray", "torch", "transformers", "openvino-genai", "aiohttp", "uvloop")

_WIDTH = 180

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars: a group for each row, a bar for each of some columns.

    Attributes:
        label: columns whose values name a row.
        bars: columns that are drawn.
        unit: of all of them.
        log: the axis is logarithmic.
    """

    label: tuple[str, ...]
    bars: tuple[str, ...]
    unit: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark.

    Attributes:
        name: of its files.
        title: what it asks.
        rows: what it found; all have the same columns.
        chart: what is drawn of it.
        versions: of what else took part.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, Any]]
    chart: Chart
    versions: Mapping[str, str] = field(default_factory=dict)

    def show(self) -> None:
        """Print the table."""
        table = Table(title=self.title, title_justify="left", header_style="bold")
        for column in self.rows[0]:
            table.add_column(column.replace("_", " "), justify="right")
        for row in self.rows:
            table.add_row(*(_written(value) for value in row.values()))
        console = Console()
        # Where it is not read in a terminal it need not fit one.
        Console(width=None if console.is_terminal else _WIDTH).print(table)

    def save(self) -> None:
        """Write `<name>.json` and `<name>.svg` to `RESULTS`."""
        RESULTS.mkdir(exist_ok=True)
        told = {
            "benchmark": self.name,
            "title": self.title,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "versions": {**versions(), **self.versions},
            "rows": list(self.rows),
        }
        (RESULTS / f"{self.name}.json").write_text(json.dumps(told, indent=1) + "\n")
        self._draw(RESULTS / f"{self.name}.svg")

    def _draw(self, path: Path) -> None:
        chart = self.chart
        figure = Figure(figsize=(2 + 1.4 * len(self.rows), 4), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / len(chart.bars)
        for place, bar in enumerate(chart.bars):
            at = [row + (place - (len(chart.bars) - 1) / 2) * width for row in range(len(self.rows))]
            drawn = axes.bar(at, [row[bar] or 0 for row in self.rows], width * 0.95, label=bar.replace("_", " "))
            axes.bar_label(drawn, fmt="%.3g", fontsize=7)
        names = [" ".join(str(row[column]) for column in chart.label) for row in self.rows]
        axes.set_xticks(range(len(self.rows)), names, fontsize=8)
        axes.set_xlabel(", ".join(column.replace("_", " ") for column in chart.label))
        axes.set_ylabel(chart.unit)
        if chart.log:
            axes.set_yscale("log")
        axes.set_title(self.title, fontsize=9, wrap=True)
        axes.legend(fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})


def machine() -> dict[str, Any]:
    """What everything ran on."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return {
        "cpu": found[1] if found else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of what the service is made of; what is not installed is left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def in_turn(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Measure each contender once a round: what each gave, round by round."""
    given: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            given[name].append(measure())
    return given


def median(values: Iterable[float], digits: int = 3) -> float:
    """The median, rounded."""
    return round(statistics.median(values), digits)


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median of the rounds' ratios."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
