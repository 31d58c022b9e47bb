"""Requests that are sent to a service from the moment at which a router answers.

Before that the port is closed, or HAProxy answers by itself that it knows no router: see docs/ray.md.
"""

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from deployments.execution.clock import loop_time
from deployments.ray_serve.front import NOBODY

EVERY_S = 0.25
COUNT = 40
TIMEOUT_S = 120.0


@dataclass(slots=True)
class Opening:
    """The first requests of a service, sent by a thread of their own.

    Attributes:
        answers: status and body of each, in the order in which they were sent.
        early: what came before the first answer of a router, counted: refused connections, answers of Serve's proxy.
    """

    base_url: str
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    early: Counter[str] = field(default_factory=Counter)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Ask until a router answers; then send `COUNT` requests, one every `EVERY_S` seconds."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), daemon=True)
        self._thread.start()

    def end(self, within_s: float) -> None:
        """Wait for the last answer, or give up the search for the first."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(within_s)

    async def _send(self) -> None:
        async with httpx.AsyncClient(base_url=self.base_url, timeout=TIMEOUT_S + 5) as client:
            while (first := await self._ask(client)) is None:
                if self._ended.is_set():
                    return
                await asyncio.sleep(0.05)
            self.answers.append(first)
            asked = []
            for _ in range(COUNT - 1):
                asked.append(asyncio.create_task(self._ask(client)))
                await asyncio.sleep(EVERY_S)
            self.answers += [answer or (0, {}) for answer in await asyncio.gather(*asked)]

    async def _ask(self, client: httpx.AsyncClient) -> tuple[int, dict[str, Any]] | None:
        """Return status and body; `None` where no router could be reached."""
        asked_at = loop_time()
        try:
            body = {"text": "Hello", "max_tokens": 2, "timeout": TIMEOUT_S}
            response = await client.post("/v1/infer", json=body)
        except httpx.TransportError as error:
            self.early[f"{type(error).__name__} after {loop_time() - asked_at:.1f} s"] += 1
            return None
        if response.headers.get("content-type") != "application/json" or response.text == NOBODY:
            self.early[f"{response.status_code} {response.text[:60]}"] += 1
            return None
        return response.status_code, response.json()
