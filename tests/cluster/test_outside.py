"""The service is deployed from another machine, by the dashboard's address and the token."""

import secrets

import pytest

from tests.cluster.cluster import Cluster
from tests.service.service import eventually

pytestmark = pytest.mark.soak


def test_serves_own_command_deploys_from_outside_with_the_token_and_not_with_another_one(cluster: Cluster) -> None:
    cluster.scale(Router=3)
    command = ("deploy", str(cluster.file()), "--address", cluster.dashboard)

    refused = cluster.outside("serve", *command, token=secrets.token_hex(32))
    routers = cluster.where("neverblank", "Router")
    done = cluster.outside("serve", *command)

    print(f"serve deploy, with another token: {refused.stderr.strip()[-160:]}")  # noqa: T201 - told to who runs it
    assert refused.returncode != 0
    assert "401" in refused.stdout + refused.stderr
    assert len(routers) == 2
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(cluster.where("neverblank", "Router")) == 3, 60)
    cluster.scale(Router=2)
    told = {each["name"]: each["state"] for each in cluster.deploy()}
    assert told == {"neverblank": "ready", "steady": "ready"}
