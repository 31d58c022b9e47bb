"""What callers get when the head is killed, stays away, and comes back.

Two minutes without a head, or `NEVERBLANK_CLUSTER_HEADLESS_S`; its state in files of its own, or in a real Redis
(`NEVERBLANK_CLUSTER_STORE=redis`).
"""

import os
import time
from typing import Any

import httpx
import pytest

from tests.cluster.cluster import STORE, Cluster
from tests.cluster.load import Load, Traffic
from tests.cluster.verdict import Verdict
from tests.service.service import eventually

STREAMED = Traffic(per_second=6, streams=2, words=40, pause_s=1.0)
HEADLESS_S = float(os.environ.get("NEVERBLANK_CLUSTER_HEADLESS_S", "120"))

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900 + HEADLESS_S)]


def troubles(cluster: Cluster) -> list[str]:
    """What `/status` says is wrong, which is what the page at `/` shows."""
    address = cluster.workers[0].address
    status: dict[str, Any] = httpx.get(f"http://{address}:8000/status", timeout=5.0).raise_for_status().json()
    return [f"{each['where']} {each['what']}" for each in status["problems"]]


def test_requests_go_on_without_the_head_the_status_says_so_and_models_can_be_deployed_once_it_is_back(
    cluster: Cluster,
) -> None:
    with Load(cluster.hosts, STREAMED) as load:
        time.sleep(3)
        cluster.head.kill()
        time.sleep(HEADLESS_S)
        without = troubles(cluster)
        cluster.start_head()
        back = cluster.wait_whole()
        before = cluster.actors("steady", "Model")
        cluster.change_model()
        cluster.deploy()
        time.sleep(5)
    tally = load.tally

    print(f"no head for {HEADLESS_S:.0f} s ({STORE}): {tally}; whole {back:.0f} s after it was back; {without}")  # noqa: T201 - the figures asked for
    assert not tally.bad, str(tally)
    assert "last resort" not in tally.counts
    judged = zip(tally.verdicts, tally.sent, strict=True)  # one may have been on its way through the head itself
    streams = [one for verdict, one in judged if one.kind == "stream" and verdict is Verdict.ANSWERED]
    assert len(streams) >= HEADLESS_S / STREAMED.words
    assert all(len(one.result.split()) == STREAMED.words and one.served_by == "primary" for one in streams)
    assert any("has not answered for" in each and "as they were then" in each for each in without), without
    eventually(lambda: not troubles(cluster), 30)  # no breaker is open, and every model is there
    after = cluster.actors("steady", "Model")
    assert len(after) == 2
    assert not {*before.values()} & {*after.values()}
