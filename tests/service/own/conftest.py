"""The services that several modules of this folder share; both end with the last of them, in test_stop."""

from collections.abc import Iterator

import pytest

from tests.service.own.team import Team
from tests.service.rollout import Rollout
from tests.service.service import Service, Upstream


@pytest.fixture(scope="package")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    """Models of one version each, one that sleeps, a pool that holds two at a time, and `spare` behind `paced`."""
    made = Rollout(tmp_path_factory.mktemp("rollout"))
    own = made.config["applications"][0]
    own["args"]["routers"] = 2
    own["deployments"][0]["user_config"] = {"models": {"paced": {"fallbacks": ["spare"]}}}
    for name in ("steady", "changing", "breaking"):
        made.write(name, arguments={"version": 1})
    made.write("sleeper", arguments={"version": 1}, replicas={"min": 0, "max": 1})
    for name in ("paced", "spare"):
        made.write(name, target="tests.service.models:Paced", max_ongoing_requests=128, max_queued_requests=128)
    members = [
        made.write(name, listed=False, multiplexed=True, arguments={"version": version, "fail": name == "sick"})
        for version, name in enumerate(("red", "green", "blue", "sick"))
    ]
    made.write_pool("colours", members, models_per_replica=2)
    return made


@pytest.fixture(scope="package")
def plain(rollout: Rollout) -> Iterator[Service]:
    """A service by the default policy, started with `serve run` as a user's is, in the folder of the rollout."""
    running = Service(rollout.config, folder=rollout.folder)
    try:
        running.wait_ready("steady", "changing", "breaking", "paced", "spare", "red", "green", "blue", "sick")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def team(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A service with keys and a Redis, whose models and backup are replaced soon after they stand still."""
    running = Team(upstream, tmp_path_factory.mktemp("team"))
    yield running
    running.stop()
