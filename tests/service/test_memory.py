"""What replicas of one node share."""

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


def test_the_model_and_the_backup_map_one_copy_of_their_weights(service: Service) -> None:
    service.wait_ready("smollm2")
    for model in ("smollm2", "backup"):  # weights are in memory once they have been used
        service.ask({"text": "Hello", "max_tokens": 2}, model)

    both = [mapped(service.replica(name), "@0.1.2.pkl") for name in ("smollm2:Model", "neverblank:Backup")]

    weights = min(one.resident for one in both)
    assert weights > 200_000_000
    assert sum(one.share for one in both) < 1.1 * weights
