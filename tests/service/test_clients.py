"""Clients that people use, unchanged, in environments of their own, against the real service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.client_table import README, row, write_results
from tests.service.clients import CLIENTS, MEASURING, Client, Result, run
from tests.service.service import Service


@pytest.fixture(scope="module")
def results() -> Iterator[list[Result]]:
    """What has come of the clients so far; kept for the README where all have passed."""
    kept: list[Result] = []
    yield kept
    if len(kept) == len(CLIENTS):
        write_results(kept)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.title)
def test_a_client_works_unchanged(service: Service, client: Client, tmp_path: Path, results: list[Result]) -> None:
    results.append(run(client, service.port, tmp_path / "results.json"))

    assert results[-1].passed


@pytest.mark.soak
@pytest.mark.parametrize("client", MEASURING, ids=lambda client: client.title)
def test_a_tool_works_unchanged(service: Service, client: Client, tmp_path: Path) -> None:
    assert run(client, service.port, tmp_path / "results.json").passed


def test_the_readme_says_which_clients_work(results: list[Result]) -> None:
    """After those above; `python -m tests.service.client_table` writes the table."""
    told = README.read_text()

    assert results
    assert [row(result) for result in results if row(result) not in told] == []
