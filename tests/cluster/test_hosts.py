"""What callers get when a host is killed, unplugged or cut off under load."""

import time

import pytest

from tests.cluster.cluster import START_S, Cluster
from tests.cluster.hosts import Host, cut_pair, mend_pair
from tests.cluster.load import Load, Traffic
from tests.cluster.verdict import Tally
from tests.service.service import eventually

pytestmark = pytest.mark.soak

SETTLED_S = 3.0
"""So long after a host was lost, no request waits for what was on it."""

SOON_S = 1.5
GONE_S = 7.0
LONG_GONE_S = 40.0
"""About what Ray takes to call a host dead (`configs/ray.env`), and more: one that was ends itself when it is back."""

STOPPED_S = 15.0
LEFT_S = 8.0
"""So long, at most, HAProxies send requests to a router that is stopped: until it has missed three checks."""

USED_S = 10.0
"""So long, at most, a host waits for requests once a router and a model run on it again."""


def wait_ready(cluster: Cluster, host: Host) -> float:
    """Wait until the same router and model have run on a host for `USED_S`; the time from which they have.

    Of a host that is just back, Serve lists for some seconds what it replaces where Ray has taken the host for dead.
    """
    kinds = [("neverblank", "Router"), ("steady", "Model")]
    running, since = [""], 0.0

    def settled() -> bool:
        nonlocal running, since
        if (now := [cluster.actors(*kind).get(host.address, "") for kind in kinds]) != running:
            running, since = now, time.monotonic()
        return all(running) and time.monotonic() - since >= USED_S

    eventually(settled, START_S, every_s=0.2)
    return since


def require_used(tally: Tally, host: Host, ready: float) -> None:
    """Require that requests are sent to a host, and answered by its replica, soon after it was `ready`."""
    answered = [one for one in tally.sent if ready <= one.started <= ready + USED_S and one.served_by == "primary"]
    assert any(one.host == host.address for one in answered)
    assert any(f" {host.address} " in one.result for one in answered)


def waited(tally: Tally, lost: float, seconds: float) -> float:
    """The longest time until an answer, of the requests from `SETTLED_S` after the loss on."""
    return tally.slowest_s(lost + SETTLED_S, lost + seconds)


@pytest.mark.parametrize("gone_s", [GONE_S, LONG_GONE_S])
def test_no_request_is_lost_late_or_kept_waiting_when_a_host_goes_silent_and_when_it_comes_back(
    cluster: Cluster, gone_s: float
) -> None:
    host = cluster.workers[0]
    with Load(cluster.hosts, Traffic()) as load:
        time.sleep(3)
        lost = time.monotonic()
        host.unplug()
        time.sleep(gone_s)
        host.plug()
        ready = wait_ready(cluster, host)
    tally = load.tally

    back_s = ready - lost - gone_s
    print(  # noqa: T201 - the figures asked for
        f"unplugged for {gone_s:.0f} s, ready {back_s:.0f} s after that: {tally}; "
        f"after {SETTLED_S} s the slowest took {waited(tally, lost, gone_s):.2f} s"
    )
    assert not tally.bad, str(tally)
    assert waited(tally, lost, gone_s) <= SOON_S, str(tally)
    assert "last resort" not in tally.counts, str(tally)
    require_used(tally, host, ready)


def test_no_request_is_lost_or_late_when_a_router_and_the_replicas_of_another_host_do_not_see_each_other(
    cluster: Cluster,
) -> None:
    one, other = cluster.workers
    with Load(cluster.hosts, Traffic()) as load:
        time.sleep(2)
        lost = time.monotonic()
        cut_pair(one, other)
        time.sleep(9)
        mend_pair(one, other)
        time.sleep(5)
    tally = load.tally

    print(f"cut off: {tally}; after {SETTLED_S} s the slowest took {waited(tally, lost, 9):.2f} s")  # noqa: T201 - the figures asked for
    assert not tally.bad, str(tally)
    assert waited(tally, lost, 9) <= SOON_S, str(tally)


def test_no_request_is_lost_or_late_when_a_host_is_killed_and_it_is_in_use_again_once_it_is_back(
    cluster: Cluster,
) -> None:
    host = cluster.workers[1]
    with Load(cluster.hosts, Traffic()) as load:
        time.sleep(3)
        host.kill()
        time.sleep(8)
        cluster.join(host)
        ready = wait_ready(cluster, host)
    tally = load.tally

    print(f"killed: {tally}")  # noqa: T201 - the figures asked for
    assert not tally.bad, str(tally)
    assert tally.last_resort_s <= 1.0, str(tally)
    require_used(tally, host, ready)


def test_no_request_is_lost_or_late_when_a_router_is_stopped_on_a_host_that_is_well(cluster: Cluster) -> None:
    with Load(cluster.hosts, Traffic()) as load:
        time.sleep(3)
        stopped = cluster.workers[0].stop("ray::ServeReplica:neverblank:Router")
        try:
            time.sleep(STOPPED_S)
        finally:
            for process in stopped:
                process.resume()
        time.sleep(3)
    tally = load.tally

    print(f"a router stopped for {STOPPED_S:.0f} s: {tally}")  # noqa: T201 - the figures asked for
    assert stopped
    assert not tally.bad, str(tally)
    assert tally.last_resort_s <= LEFT_S, str(tally)
