"""Clients that people use, unchanged, in environments of their own, against the real service."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
        write_results(kept, "clients")


@pytest.fixture(scope="module")
def measured() -> Iterator[list[Result]]:
    """The same of the tools of `make soak`."""
    kept: list[Result] = []
    yield kept
    if len(kept) == len(MEASURING):
        write_results(kept, "tools")


@pytest.fixture(scope="module")
def started(
    service: Service, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Client, Future[Result]]]:
    """Those of `CLIENTS` that are to be tested, in their order: as one mostly waits, another one runs beside it."""
    specs = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    chosen = [spec.params["client"] for spec in specs if spec is not None]
    folder = tmp_path_factory.mktemp("clients")
    pool = ThreadPoolExecutor(2)
    yield {
        client: pool.submit(run, client, service.port, folder / f"{place}.json")
        for place, client in enumerate(chosen)
        if client in CLIENTS
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.title)
def test_a_client_works_unchanged(started: dict[Client, Future[Result]], client: Client, results: list[Result]) -> None:
    results.append(started[client].result())

    assert results[-1].passed


@pytest.mark.soak
@pytest.mark.parametrize("client", MEASURING, ids=lambda client: client.title)
def test_a_tool_works_unchanged(service: Service, client: Client, tmp_path: Path, measured: list[Result]) -> None:
    measured.append(run(client, service.port, tmp_path / "results.json"))

    assert measured[-1].passed


@pytest.mark.soak
def test_the_readme_says_which_tools_work(measured: list[Result]) -> None:
    told = README.read_text()

    assert measured
    assert [row(result) for result in measured if row(result) not in told] == []


def test_the_readme_says_which_clients_work(results: list[Result]) -> None:
    """After those above; `python -m tests.service.client_table` writes the table."""
    told = README.read_text()

    assert results
    assert [row(result) for result in results if row(result) not in told] == []
