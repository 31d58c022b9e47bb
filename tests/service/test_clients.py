"""Clients that people use, unchanged, in environments of their own, against the real service."""

from pathlib import Path

import pytest

from tests.service.clients import CLIENTS, Client, Result, run
from tests.service.service import Service


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return []


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.title)
def test_a_client_works_unchanged(service: Service, client: Client, tmp_path: Path, results: list[Result]) -> None:
    results.append(run(client, service.port, tmp_path / "results.json"))

    assert results[-1].passed
