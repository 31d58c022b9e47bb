"""What callers get when the head is killed, and when it comes back."""

import time

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.load import Load, Traffic

pytestmark = pytest.mark.soak


def test_requests_go_on_without_the_head_and_models_can_be_deployed_once_it_is_back(cluster: Cluster) -> None:
    with Load(cluster.hosts, Traffic(per_second=6)) as load:
        time.sleep(3)
        cluster.head.kill()
        time.sleep(45)
        cluster.start_head()
        back = cluster.wait_whole()
        cluster.config["applications"][1]["args"]["digest"] = f"{time.time()}"
        cluster.deploy()
        time.sleep(5)
    tally = load.tally

    print(f"the head was killed: {tally}; whole {back:.0f} s after it was back")  # noqa: T201 - the figures asked for
    assert not tally.bad, str(tally)
    assert "last resort" not in tally.counts
