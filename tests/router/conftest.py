"""Routers with keys, whose connections are closed when the test is over."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.router.locked import Lock, Locked


@pytest.fixture
async def lock(tmp_path: Path) -> AsyncIterator[Lock]:
    made: list[Locked] = []

    def make(keys: dict[str, dict[str, Any]], **policy: Any) -> Locked:
        made.append(Locked(tmp_path, keys, **policy))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()
