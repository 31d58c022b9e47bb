"""What `/status` and `/readyz` warn of: one host's loss that takes a model and its backup, a head that is away."""

from typing import Any

import pytest

from deployments.ray_serve.cluster import read_applications
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.serving import OWN, FakeCluster, Replica, application

HERE, THERE = frozenset({"10.0.0.1"}), frozenset({"10.0.0.2"})


async def router_of(backup: frozenset[str], model: frozenset[str], hosts: frozenset[str]) -> tuple[Router, FakeCluster]:
    """A router that has seen the backup and a model on those hosts."""
    own = application(OWN, hosts=backup, all_hosts=hosts)
    cluster = FakeCluster(**{OWN: own, "a": application("a", hosts=model, all_hosts=hosts)})
    replica: Any = Replica()
    router = Router(cluster, replica, "backup", PolicySettings())
    await router._registry.refresh()
    return router, cluster


@pytest.mark.parametrize(
    ("backup", "model", "hosts", "warned"),
    [
        (HERE, HERE, HERE | THERE, True),
        (HERE, THERE, HERE | THERE, False),
        (HERE | THERE, HERE, HERE | THERE, False),
        (HERE, HERE | THERE, HERE | THERE, False),
        (HERE, HERE, HERE, False),
        (frozenset(), frozenset(), HERE | THERE, False),
    ],
)
async def test_a_host_whose_loss_takes_a_model_and_its_backup_is_warned_of_where_there_is_another_one(
    backup: frozenset[str], model: frozenset[str], hosts: frozenset[str], *, warned: bool
) -> None:
    router, _ = await router_of(backup, model, hosts)

    told = router.describe()["warnings"]

    assert told == router.warnings()
    assert [("10.0.0.1" in each, "a" in each) for each in told] == ([(True, True)] if warned else [])


async def test_while_the_head_is_away_models_go_on_and_status_says_so_and_no_more_once_it_is_back() -> None:
    router, cluster = await router_of(HERE, THERE, HERE | THERE)
    cluster.trouble = ConnectionError("the head is away")
    await router._registry.refresh()
    during, answer = await router.status_of_all(), await router.infer({"text": "Hi"}, "a")
    warned = router.warnings()
    cluster.trouble = None
    await router._registry.refresh()
    later = await router.status_of_all()

    assert answer["served_by"] == "primary"
    assert (during["head"]["answers"], later["head"]["answers"]) == (False, True)
    assert (during["problems"][0]["severity"], during["problems"][0]["where"]) == ("error", "head")
    assert during["problems"][0]["what"].endswith("ConnectionError: the head is away")
    assert [each["what"] for each in during["problems"] if "Serve" in each["what"]] == []
    assert "cannot be asked" in warned[0]
    assert (router.warnings(), [each for each in later["problems"] if each["where"] == "head"]) == ([], [])


def test_the_hosts_of_replicas_are_read_from_what_serve_tells() -> None:
    running = {"replica_id": "r", "state": "RUNNING", "actor_id": "abc", "node_ip": "10.0.0.1"}
    starting = running | {"state": "STARTING", "node_ip": "10.0.0.2"}
    model = {"message": "", "replicas": [running, starting]}
    facts = {"status": "RUNNING", "message": "", "last_deployed_time_s": 1.0, "deployments": {"Model": model}}
    details = {"applications": {"a": facts}, "proxies": {"node": {"node_ip": "10.0.0.3"}}}

    found = read_applications(details, OWN)["a"]

    assert found.hosts == HERE
    assert found.all_hosts == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
