"""What all simulations share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulation.record import own_fault


@pytest.fixture(autouse=True)
def no_fault_of_ours_is_logged(events: list[dict[str, Any]]) -> Iterator[None]:
    """Fail a simulation whose log tells of a fault of ours, or of a fake that lacks something."""
    yield
    told = {fault for line in events if (fault := own_fault(line["event"], line))}
    assert not told, told
