"""A cluster that cannot be reached, or refuses a config, is one error that says which and why."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests
from ray.dashboard.modules.serve import sdk

from deployments.ray_serve.dashboard import ClusterError, DashboardClient, WrongTokenError

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


@pytest.mark.parametrize("trouble", [ConnectionError("gone"), RuntimeError("gone"), requests.ReadTimeout("gone")])
def test_whatever_the_client_raises_is_told_as_what_the_cluster_did(
    client: DashboardClient, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    monkeypatch.setattr(FakeClient, "trouble", trouble)

    with pytest.raises(ClusterError, match="does not answer: gone"):
        client.details()
    with pytest.raises(ClusterError, match="refuses the config: gone"):
        client.submit({})


class Guarded(BaseHTTPRequestHandler):
    """A dashboard that lets nobody in without a token."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(b"Unauthorized")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
def test_a_token_that_is_missing_or_wrong_is_said_with_where_one_belongs(status: HTTPStatus) -> None:
    server = HTTPServer(("127.0.0.1", 0), Guarded)
    server.status = status  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(WrongTokenError, match="RAY_AUTH_TOKEN"):
            DashboardClient(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
