"""What callers get while the service is changed under them."""

import time

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.load import Load, Traffic
from tests.service.service import eventually

pytestmark = pytest.mark.soak


def test_a_rolling_update_of_routers_backup_and_model_loses_no_request_and_cuts_no_stream(cluster: Cluster) -> None:
    """The streams last longer than the 20 seconds that routers were once given to drain."""
    before = cluster.details()
    with Load(cluster.hosts, Traffic(per_second=4, streams=6, words=50, pause_s=1.0)) as load:
        eventually(lambda: load.streaming == 6, 10)
        time.sleep(2)
        args = cluster.config["applications"][0]["args"]
        args["routers"] = 5 - args["routers"]
        spec = cluster.config["applications"][1]["args"]
        spec["digest"] = f"{time.time()}"
        cluster.deploy()
        time.sleep(5)
    tally = load.tally

    print(f"updated: {tally}")  # noqa: T201 - the figures asked for
    assert cluster.details()["applications"]["neverblank"] != before["applications"]["neverblank"]
    assert not tally.bad, str(tally)
    streams = [one for one in tally.sent if one.kind == "stream"]
    assert len(streams) >= 6
    assert all(len(one.result.split()) == 50 and one.served_by == "primary" for one in streams)
    assert "last resort" not in tally.counts
