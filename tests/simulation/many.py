"""Many seeds, on all cores: what was reached how often, and which seeds failed."""

import gc
import os
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.invariants import faults
from tests.simulation.sometimes import reached
from tests.simulation.world import draw_world, run_world

PIECE = 250
"""Seeds that a process is given at a time."""

MOST_SHOWN = 20


@dataclass(slots=True)
class Tally:
    """What came of many seeds.

    Attributes:
        seeds: how many were run.
        requests: how many requests they were.
        failed: what was wrong, by the seed.
        reached: how many seeds reached each rare state.
    """

    seeds: int = 0
    requests: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Count what `other` has counted."""
        self.seeds += other.seeds
        self.requests += other.requests
        self.failed |= other.failed
        self.reached += other.reached

    def explain(self) -> str:
        """The seeds that failed, each with the command that repeats it."""
        lines = [f"{len(self.failed)} of {self.seeds} seeds failed"]
        for seed, wrong in sorted(self.failed.items())[:MOST_SHOWN]:
            lines += [f"  python -m tests.simulation --seed {seed}", *[f"    {fault}" for fault in wrong[:5]]]
        return "\n".join(lines)


def check_seed(seed: int) -> Tally:
    """Run one seed."""
    tally = Tally(seeds=1)
    try:
        run = run_world(draw_world(seed))
        tally.requests, wrong = len(run.exchanges), faults(run)
        tally.reached.update(reached(run))
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
        wrong = [f"the run itself broke: {traceback.format_exc(limit=-4)}"]
    if wrong:
        tally.failed[seed] = wrong
    return tally


def check_seeds(seeds: Sequence[int]) -> Tally:
    """Run some seeds, one after the other."""
    tally = Tally()
    for seed in seeds:
        tally.add(check_seed(seed))
    return tally


def check_range(first: int, count: int) -> Tally:
    """Run `count` seeds from `first` on all cores."""
    pieces = [range(at, min(at + PIECE, first + count)) for at in range(first, first + count, PIECE)]
    tally = Tally()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=_settle) as processes:
        for part in processes.map(check_seeds, pieces):
            tally.add(part)
    return tally


def _settle() -> None:
    """What was imported stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
