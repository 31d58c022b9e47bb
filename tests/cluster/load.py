"""An open loop of requests from outside the cluster: each is sent when it is its time."""

import asyncio
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from tests.cluster.balancer import Balancer
from tests.cluster.hosts import Host
from tests.cluster.verdict import Sent, Tally

CONNECT_S = 2.0
"""How long a connection may take: then another host is asked, once, as nothing was sent."""

GIVEN_UP_S = 30.0
"""How long beyond its deadline an answer, or the next piece of a stream, is waited for: whoever waits longer hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is asked, and how often.

    Attributes:
        per_second: whole answers.
        streams: streams that are opened at the beginning, and again when one has ended.
        words: the length of a stream, in words.
        pause_s: between two words of a stream.
        model: who is asked.
        deadline_s: of every request.
    """

    per_second: float = 8.0
    streams: int = 0
    words: int = 60
    pause_s: float = 0.5
    model: str = "steady"
    deadline_s: float = 6.0


class Load:
    """Sends traffic to the hosts through a load balancer, in a thread of its own, until it is left."""

    def __init__(self, hosts: Sequence[Host], traffic: Traffic) -> None:
        """Send `traffic` to `hosts`."""
        self._hosts = hosts
        self._traffic = traffic
        self._sent: list[Sent] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.streaming = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send nothing more, and wait for what is under way."""
        self._ending.set()
        self._thread.join()

    @property
    def tally(self) -> Tally:
        """What has become of the requests that are over."""
        outages = [outage for host in self._hosts for outage in host.outages]
        return Tally.of(sorted(self._sent, key=lambda one: one.started), outages)

    async def _run(self) -> None:
        traffic = self._traffic
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            balancer = Balancer([host.address for host in self._hosts], session)
            checking = asyncio.ensure_future(balancer.check_always())
            asker = _Asker(session, balancer, traffic)
            tasks = [asyncio.ensure_future(self._stream_always(asker)) for _ in range(traffic.streams)]
            start, n = time.monotonic(), 0
            while not self._ending.is_set():
                n += 1
                if traffic.per_second:
                    tasks.append(asyncio.ensure_future(self._keep(asker.whole())))
                await asyncio.sleep(max(0.0, start + n / (traffic.per_second or 10.0) - time.monotonic()))
            await asyncio.gather(*tasks)
            checking.cancel()

    async def _keep(self, asking: Any) -> None:
        self._sent.append(await asking)

    async def _stream_always(self, asker: "_Asker") -> None:
        while not self._ending.is_set():
            self.streaming += 1
            sent = await asker.stream()
            self.streaming -= 1
            self._sent.append(sent)
            await asyncio.sleep(0.1)


class _Asker:
    def __init__(self, session: aiohttp.ClientSession, balancer: Balancer, traffic: Traffic) -> None:
        self._session = session
        self._balancer = balancer
        self._traffic = traffic

    async def whole(self) -> Sent:
        """Ask for a whole answer."""
        reading = _Reading("whole", self._balancer.choose(), self._traffic.deadline_s)
        try:
            async with asyncio.timeout(self._traffic.deadline_s + GIVEN_UP_S), self._post(reading, {}) as response:
                reading.status = response.status
                body = await response.read()
                reading.end(json.loads(body))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            reading.error = f"{type(error).__name__}: {error} {reading.seen}"[:160]
        return reading.sent()

    async def stream(self) -> Sent:
        """Ask for a stream and read it to its end."""
        traffic = self._traffic
        reading = _Reading("stream", self._balancer.choose(), traffic.deadline_s)
        more = {"stream": True, "words": traffic.words, "pause": traffic.pause_s}
        try:
            async with self._post(reading, more) as response:
                reading.status = response.status
                while True:
                    line = await asyncio.wait_for(response.content.readline(), traffic.deadline_s + GIVEN_UP_S)
                    if not line:
                        break
                    reading.take(line.decode().rstrip())
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            reading.error = f"{type(error).__name__}: {error}"[:160]
        return reading.sent()

    @asynccontextmanager
    async def _post(self, reading: "_Reading", more: Mapping[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        body = {"text": "Hello", "timeout": self._traffic.deadline_s, **more}
        path = f":8000/v1/infer/{self._traffic.model}"
        try:
            response = await self._session.post(f"http://{reading.host}{path}", json=body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            reading.begin(self._balancer.choose(but=reading.host))
            response = await self._session.post(f"http://{reading.host}{path}", json=body)
        async with response:
            yield response


class _Reading:
    """An answer that is being read."""

    def __init__(self, kind: Any, host: str, deadline_s: float) -> None:
        self.kind, self.deadline_s = kind, deadline_s
        self.begin(host)
        self.first_s, self.silence_s, self.status = float("inf"), 0.0, 0
        self.seen: str = ""
        self.error = ""
        self._answer: Mapping[str, Any] | None = None
        self._event = ""

    def begin(self, host: str) -> None:
        """Count from now, and from `host`: the time that a balancer waits for a connection is not the service's."""
        self.host = host
        self.started = self._last = time.monotonic()

    def take(self, line: str) -> None:
        """Take in a line of a stream."""
        now = time.monotonic()
        name, _, value = line.partition(": ")
        if name == "event":
            self._event = value
        elif name == "data":
            if math.isfinite(self.first_s):
                self.silence_s = max(self.silence_s, now - self._last)
            self.first_s, self._last = min(self.first_s, now - self.started), now
            if self._event == "done":
                self.end(json.loads(value))

    def end(self, answer: Any) -> None:
        """Take in the whole answer."""
        if not isinstance(answer, dict):
            raise TypeError(f"an answer is an object, not {answer!r}")
        self._answer = answer

    def sent(self) -> Sent:
        """What became of it."""
        seconds, answer = time.monotonic() - self.started, self._answer or {}
        tries = [
            f"{one.get('tier')}={one.get('outcome')} {one.get('reason', '')[:60]}" for one in answer.get("attempts", ())
        ]
        return Sent(
            started=self.started,
            seconds=seconds,
            host=self.host,
            kind=self.kind,
            deadline_s=self.deadline_s,
            first_s=self.first_s if self.kind == "stream" else seconds,
            silence_s=self.silence_s,
            status=self.status,
            served_by=str(answer.get("served_by", "")),
            result=str(answer.get("result", "")),
            ended=self._answer is not None,
            error=self.error,
            attempts="; ".join(tries),
        )
