"""The service is deployed from another machine, by the dashboard's address and the token."""

import secrets
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.service.service import eventually

pytestmark = pytest.mark.soak


def deployed(cluster: Cluster) -> list[Any]:
    """What Serve was last told of each application."""
    return [told["deployed_app_config"] for told in cluster.details()["applications"].values()]


def test_serves_own_command_deploys_from_outside_with_the_token_and_not_with_another_one(cluster: Cluster) -> None:
    cluster.scale(Router=3)
    command = ("deploy", str(cluster.file()), "--address", cluster.dashboard)

    before = deployed(cluster)
    refused = cluster.outside("serve", *command, token=secrets.token_hex(32))
    after = deployed(cluster)
    done = cluster.outside("serve", *command)

    print(f"serve deploy, with another token: {refused.stderr.strip()[-500:]}")  # noqa: T201 - told to who runs it
    assert refused.returncode != 0
    assert "Forbidden: Invalid authentication token" in refused.stderr, refused.stderr
    assert after == before
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(cluster.where("neverblank", "Router")) == 3, 60)
    cluster.scale(Router=2)
    told = {each["name"]: each["state"] for each in cluster.deploy()}
    assert told == {"neverblank": "ready", "steady": "ready"}


def test_neverblanks_own_command_says_which_token_it_needs_where_it_has_another_one(cluster: Cluster) -> None:
    before = deployed(cluster)
    refused = cluster.outside(
        "neverblank", "deploy", str(cluster.file()), "--address", cluster.dashboard, token=secrets.token_hex(32)
    )

    assert refused.returncode == 1
    assert "needed is the cluster's token in RAY_AUTH_TOKEN" in refused.stderr
    assert deployed(cluster) == before
