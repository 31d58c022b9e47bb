"""What callers get while the service is changed under them.

Scaling goes on for three minutes, or `NEVERBLANK_CLUSTER_SCALING_S`. A stream takes 50 seconds, which is longer than
the twenty that routers were once given to drain, or `NEVERBLANK_CLUSTER_STREAM_S`.
"""

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import START_S, Cluster
from tests.cluster.load import Load, Traffic
from tests.cluster.verdict import Tally
from tests.service.service import eventually

SCALING_S = float(os.environ.get("NEVERBLANK_CLUSTER_SCALING_S", "180"))
STREAM_S = int(os.environ.get("NEVERBLANK_CLUSTER_STREAM_S", "50"))
STREAMED = Traffic(per_second=4, streams=6, words=STREAM_S, pause_s=1.0)

WHOLE_S = START_S + 2 * STREAM_S
"""A replica that is replaced ends when its streams have, and with one on each host the second one begins then."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900 + SCALING_S + 12 * STREAM_S)]


def require_whole(tally: Tally) -> None:
    """Require that nothing was lost, late or cut, and that every stream is the model's, to its last word."""
    assert not tally.bad, str(tally)
    streams = [one for one in tally.sent if one.kind == "stream"]
    assert len(streams) >= STREAMED.streams
    assert all(len(one.result.split()) == STREAMED.words and one.served_by == "primary" for one in streams)
    assert "last resort" not in tally.counts


@pytest.fixture
def arguments(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """The `args` of routers and backup; after the test they are as they were."""
    args = cluster.config["applications"][0]["args"]
    before = {**args}
    yield args
    args.clear()
    args |= before
    cluster.replicas["Router"] = before["routers"]
    cluster.deploy(WHOLE_S)


@pytest.mark.parametrize(
    "changed",
    [{"routers": 2, "routers_per_node": 2}, {"routers": 3}],
    ids=["routers one after the other", "routers beside the old ones"],
)
def test_a_rolling_update_of_routers_backup_and_model_loses_no_request_and_cuts_no_stream(
    cluster: Cluster, arguments: dict[str, Any], changed: dict[str, Any]
) -> None:
    replaced = [("neverblank", "Router"), ("neverblank", "Backup"), ("steady", "Model")]
    before = {one: {*cluster.actors(*one).values()} for one in replaced}
    with Load(cluster.hosts, STREAMED) as load:
        eventually(lambda: load.streaming == 6, 10)
        time.sleep(2)
        del arguments["routers_per_node"]
        arguments |= changed
        cluster.replicas["Router"] = arguments["routers"]
        cluster.change_model()
        cluster.deploy(WHOLE_S)
        time.sleep(5)
    tally = load.tally

    print(f"updated: {tally}")  # noqa: T201 - the figures asked for
    assert all(before.values())
    assert not any(before[one] & {*cluster.actors(*one).values()} for one in replaced)
    require_whole(tally)


def test_hosts_that_leave_and_come_back_one_by_one_lose_no_request_and_cut_no_stream(cluster: Cluster) -> None:
    took = []
    with Load(cluster.hosts, STREAMED) as load:
        eventually(lambda: load.streaming == STREAMED.streams, 10)
        time.sleep(2)
        for host in cluster.workers:
            took.append(cluster.leave(host))
            cluster.join(host)
            cluster.wait_whole(WHOLE_S)
    tally = load.tally

    print(f"hosts one by one, which took {took[0]:.0f} and {took[1]:.0f} s to leave: {tally}")  # noqa: T201 - the figures asked for
    require_whole(tally)


def test_scaling_up_and_down_all_the_time_loses_no_request_and_cuts_no_stream(cluster: Cluster) -> None:
    began, changes = time.monotonic(), 0
    with Load(cluster.hosts, STREAMED) as load:
        for routers, models in itertools.cycle([(1, 1), (2, 2)]):
            if time.monotonic() - began > SCALING_S and models == 1:
                break
            changes += 1
            cluster.scale(Router=routers, Model=models)
            cluster.deploy(WHOLE_S)
            time.sleep(5)
    tally = load.tally

    print(f"scaled {changes} times in {SCALING_S:.0f} s: {tally}")  # noqa: T201 - the figures asked for
    require_whole(tally)
