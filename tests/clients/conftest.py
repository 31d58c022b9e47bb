"""What the tests of clients share that run in an environment of their own, against a service that runs already.

Its URL is in NEVERBLANK_URL; what has passed is written to the file in NEVERBLANK_RESULTS.
"""

import json
import os
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.relay import Relay

_NEEDS_NO_ANSWER = (
    "test_no_overrides_DO_NOT_OVERRIDE",
    "test_every_reason_for_the_scripted_model_is_that_of_a_test",
)
_PASSED = pytest.StashKey[list[str]]()
_SKIPPED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def relay() -> Iterator[Relay]:
    """The way to the service."""
    running = Relay(urlsplit(os.environ["NEVERBLANK_URL"]).port or 80)
    yield running
    running.close()


@pytest.fixture
def url(relay: Relay) -> str:
    """The service's URL."""
    return relay.url


@pytest.fixture(autouse=True)
def answered_by_models(relay: Relay, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail each test that passes on the answer of anybody but the model that it asks."""
    relay.forget()
    yield
    if request.node.name not in _NEEDS_NO_ANSWER and not request.node.stash.get(_SKIPPED, None):
        relay.require_models()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what has passed, and what was skipped."""
    report = yield
    if report.when == "call":
        if report.skipped:
            item.stash[_SKIPPED] = [item.name]
        kept = item.config.stash.setdefault(_SKIPPED if report.skipped else _PASSED, [])
        if not report.failed:
            kept.append(item.name)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what has passed."""
    if file := os.environ.get("NEVERBLANK_RESULTS"):
        package = os.environ["NEVERBLANK_CLIENT"]
        told = {
            "client": package,
            "version": version(package),
            "passed": session.config.stash.get(_PASSED, []),
            "skipped": session.config.stash.get(_SKIPPED, []),
        }
        Path(file).write_text(json.dumps(told))
