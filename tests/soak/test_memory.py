"""What replicas of one node share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.service.service import Service


@dataclass(frozen=True, slots=True)
class Mapped:
    """A process's view of files it has mapped, in bytes.

    Attributes:
        resident: what of them is in memory.
        share: its proportional share of that (PSS): what each of n processes with one copy has is an n-th of it.
    """

    resident: int
    share: int


def mapped(process: psutil.Process, ending: str) -> Mapped:
    """What `process` has mapped of files whose names end with `ending`."""
    found = [area for area in process.memory_maps(grouped=False) if Path(area.path).name.endswith(ending)]
    return Mapped(sum(area.rss for area in found), sum(area.pss for area in found))


def test_two_replicas_on_a_node_map_one_copy_of_their_weights(start: Callable[..., Service]) -> None:
    service = start("twins")
    for _ in range(12):  # weights are in memory once they have been used, in both
        service.ask({"text": "Hello", "max_tokens": 2}, "twins")

    twins = [process for process in service.family() if "ServeReplica:twins" in " ".join(process.cmdline())]
    both = [mapped(process, "@0.1.2.pkl") for process in twins]

    weights = min(one.resident for one in both)
    print(both)  # noqa: T201 - the figures asked for
    assert len(both) == 2
    assert weights > 200_000_000
    assert sum(one.share for one in both) < 1.1 * weights
