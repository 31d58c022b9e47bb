"""One cluster of three hosts for all tests of this folder; each leaves it as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, running
from tests.cluster.hosts import lacking

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what waits for the cluster more time, if it has not said how much: it starts within the first of them."""
    for item in items:
        waits = HERE in item.path.parents and "cluster" in getattr(item, "fixturenames", ())
        if waits and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster."""
    if reason := lacking():
        pytest.skip(reason)
    with running(3, tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """The cluster, whole: every replica runs, and every host answers."""
    started.wait_whole()
    return started
