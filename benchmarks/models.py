"""Models that benchmarks ask. They run in replicas of a real Serve instance."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

WORD = "word "


class Talker:
    """Says `words` words, at once, or so many a second where the request has `per_second`."""

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        """All of it."""
        return WORD * int(inputs["words"])

    async def stream(self, inputs: Mapping[str, Any]) -> AsyncIterator[str]:
        """Word by word."""
        loop = asyncio.get_running_loop()
        began, pace = loop.time(), float(inputs.get("per_second", 0))
        for number in range(int(inputs["words"])):
            if pace:
                await asyncio.sleep(began + number / pace - loop.time())
            yield WORD
