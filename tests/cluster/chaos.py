"""Random faults under load, by a seed: one at a time, each undone before the next, so that something is always owed."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from tests.cluster.cluster import Cluster
from tests.cluster.hosts import Host, cut_pair, mend_pair
from tests.cluster.models import ILL


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was made.

    Attributes:
        name: what it was.
        host: the address of the host it was made to.
        since: when it was made, on the monotonic clock.
        until: when it was undone.
        whole_after_s: seconds after that until every replica ran and every host answered again; infinite where that
            took longer than `START_S`.
    """

    name: str
    host: str
    since: float
    until: float
    whole_after_s: float


Kind = Callable[[Cluster, Host, random.Random], Callable[[], None]]
"""Makes a fault, and returns what undoes it."""


def _kill(cluster: Cluster, host: Host, _: random.Random) -> Callable[[], None]:
    host.kill()
    return lambda: cluster.join(host)


def _kill_head(cluster: Cluster, _: Host, __: random.Random) -> Callable[[], None]:
    cluster.head.kill()
    return cluster.start_head


def _unplug(_: Cluster, host: Host, __: random.Random) -> Callable[[], None]:
    host.unplug()
    return host.plug


def _cut_pair(cluster: Cluster, host: Host, _: random.Random) -> Callable[[], None]:
    other = next(one for one in cluster.workers if one is not host)
    cut_pair(host, other)
    return lambda: mend_pair(host, other)


def _cut_one_way(cluster: Cluster, host: Host, _: random.Random) -> Callable[[], None]:
    other = next(one for one in cluster.workers if one is not host)
    host.cut_to(other)
    return lambda: host.mend_to(other)


def _slow(_: Cluster, host: Host, draw: random.Random) -> Callable[[], None]:
    host.slow(draw.choice((256, 1024, 4096)))
    return host.speed_up


def _stop(part: str) -> Kind:
    def stop(_: Cluster, host: Host, __: random.Random) -> Callable[[], None]:
        stopped = host.stop(part)
        return lambda: _resume(stopped)

    return stop


def _resume(stopped: Sequence[psutil.Process]) -> None:
    for process in stopped:
        if process.is_running():
            process.resume()


def _kill_one(part: str) -> Kind:
    def kill(_: Cluster, host: Host, __: random.Random) -> Callable[[], None]:
        for process in host.processes(part):
            process.kill()
        return lambda: None

    return kill


def _fill_disk(_: Cluster, host: Host, __: random.Random) -> Callable[[], None]:
    host.fill_disk()
    return host.empty_disk


def _ill(_: Cluster, host: Host, draw: random.Random) -> Callable[[], None]:
    host.file(str(ILL)).write_text(draw.choice(("raise", "hang")))
    return lambda: host.file(str(ILL)).unlink()


def _update(cluster: Cluster, _: Host, __: random.Random) -> Callable[[], None]:
    cluster.change_model()
    cluster.deploy(_UPDATE_S)
    return lambda: None


REPLICA = "ray::ServeReplica"
_UPDATE_S = 900.0
"""What is replaced ends when its streams have, one replica after the other."""

KINDS: dict[str, Kind] = {
    "kill a host": _kill,
    "kill the head": _kill_head,
    "unplug a host": _unplug,
    "cut a pair of hosts": _cut_pair,
    "cut one way between two hosts": _cut_one_way,
    "slow a link down": _slow,
    "stop a model": _stop(f"{REPLICA}:steady:Model"),
    "stop the backup": _stop(f"{REPLICA}:neverblank:Backup"),
    "kill a model": _kill_one(f"{REPLICA}:steady:Model"),
    "kill a router": _kill_one(f"{REPLICA}:neverblank:Router"),
    "fill a disk": _fill_disk,
    "a model that is well by its health check, and not by its answers": _ill,
    "update the model": _update,
}


@contextmanager
def _undone(undo: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        undo()


def play(cluster: Cluster, seed: int, seconds: float, told: Callable[[str], None]) -> Iterator[Fault]:
    """Make faults drawn by `seed` for `seconds`, each for 5 to 20 seconds; each is told as it is made, and yielded."""
    draw = random.Random(seed)  # noqa: S311 - what happens when
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        name, host = draw.choice(list(KINDS)), draw.choice(list(cluster.workers))
        host = cluster.head if KINDS[name] is _kill_head else host
        lasts = draw.uniform(5.0, 20.0)
        told(f"{time.monotonic() - began:6.0f} s  {name} ({host.address}), {lasts:.0f} s")
        since = time.monotonic()
        with _undone(KINDS[name](cluster, host, draw)):
            time.sleep(lasts)
        until = time.monotonic()
        yield Fault(name, host.address, since, until, _whole_after_s(cluster))
        time.sleep(draw.uniform(1.0, 5.0))


def _whole_after_s(cluster: Cluster) -> float:
    try:
        return cluster.wait_whole()
    except TimeoutError:
        return math.inf
