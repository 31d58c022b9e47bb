"""Models for soaks. They run in replicas of a real Serve instance."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Paced:
    """Works on so many requests at a time, each for the same time: its capacity is known."""

    def __init__(self, seconds: float, at_a_time: int) -> None:
        self._seconds = seconds
        self._places = asyncio.Semaphore(at_a_time)

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        async with self._places:
            await asyncio.sleep(self._seconds)
        return "paced says hello"


class Sick:
    """Hangs while the file named in the request is there."""

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        if Path(inputs["file"]).exists():  # noqa: ASYNC240 - one look
            await asyncio.sleep(3600)
        return "well again"
