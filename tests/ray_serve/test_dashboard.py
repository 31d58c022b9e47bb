"""A cluster that cannot be reached, or refuses a config, is one error that says which and why."""

from typing import Any

import pytest
from ray.dashboard.modules.serve import sdk

from deployments.ray_serve.dashboard import ClusterError, DashboardClient

ADDRESS = "http://127.0.0.1:9"


class FakeClient:
    """Ray's client of a dashboard; `trouble` is raised by whatever is asked."""

    trouble: Exception | None = None
    submitted: dict[str, Any] | None = None

    def __init__(self, address: str) -> None:
        self.address = address

    def get_serve_details(self) -> dict[str, Any]:
        if self.trouble:
            raise self.trouble
        return {"applications": {}}

    def deploy_applications(self, config: dict[str, Any]) -> None:
        if self.trouble:
            raise self.trouble
        FakeClient.submitted = config


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> DashboardClient:
    monkeypatch.setattr(sdk, "ServeSubmissionClient", FakeClient)
    monkeypatch.setattr(FakeClient, "submitted", None)
    return DashboardClient(ADDRESS)


def test_a_cluster_that_does_not_exist_is_named() -> None:
    with pytest.raises(ClusterError, match=f"no cluster answers at {ADDRESS}"):
        DashboardClient(ADDRESS)


@pytest.mark.parametrize("address", ["localhost:8265", "ftp://host", ""])
def test_an_address_that_is_no_url_of_a_dashboard_is_named(address: str) -> None:
    with pytest.raises(ClusterError, match="is no address of a dashboard"):
        DashboardClient(address)


def test_a_config_is_handed_over_as_it_is(client: DashboardClient) -> None:
    client.submit({"applications": []})

    assert FakeClient.submitted == {"applications": []}
    assert client.details() == {"applications": {}}


@pytest.mark.parametrize("trouble", [ConnectionError("gone"), RuntimeError("gone")])
def test_whatever_the_client_raises_is_told_as_what_the_cluster_did(
    client: DashboardClient, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    monkeypatch.setattr(FakeClient, "trouble", trouble)

    with pytest.raises(ClusterError, match="does not answer: gone"):
        client.details()
    with pytest.raises(ClusterError, match="refuses the config: gone"):
        client.submit({})
