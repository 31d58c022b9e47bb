"""The fault-injecting upstream: an OpenAI-compatible server whose model's name says what goes wrong.

Written on bare sockets, as no library breaks HTTP in these ways. `python -m tests.upstream.faulty --port 0` prints the
port it listens on.

    POST /v1/chat/completions    the scenario named by `model`; the same of /v1/completions, in its format
    POST /v1/messages            the same, in Anthropic's format; at /v1/responses in that of OpenAI's Responses
    POST /v1/embeddings          the same, of vectors where there is one of that name
    POST /v1/rerank, /v1/score   the same, of scores
    GET  /health                 200, or the status of `--health`
    GET  /counts                 how often each has been asked for

As a server that a replica starts, it has `--health`, `--says` for its last line, and `--once FILE`: it makes the file,
and does not start where there is one.
"""

import argparse
import asyncio
import json
import ssl
import sys
from collections import Counter
from pathlib import Path

from tests.upstream import able, particular, streamed
from tests.upstream.dialect import play
from tests.upstream.dialects_of_calls import CALLS
from tests.upstream.dialects_of_ends import ENDS
from tests.upstream.dialects_of_form import FORM
from tests.upstream.dialects_of_messages import MESSAGE_DIALECTS
from tests.upstream.dialects_of_responses import OF_RESPONSES, RESPONSE_DIALECTS
from tests.upstream.embeddings import VECTORS
from tests.upstream.exchange import Exchange
from tests.upstream.particular_messages import OF_MESSAGES
from tests.upstream.scenarios import SCENARIOS, Scenario
from tests.upstream.scores import SCORES

__all__ = ["SCENARIOS", "SPOKEN", "FaultyUpstream", "able", "particular", "streamed"]

SPOKEN = CALLS | ENDS | FORM
"""All dialects of OpenAI's format by their names; each is a scenario, too."""

SCENARIOS |= OF_MESSAGES | OF_RESPONSES
SCENARIOS |= {name: play(dialect) for name, dialect in (SPOKEN | MESSAGE_DIALECTS | RESPONSE_DIALECTS).items()}


class FaultyUpstream:
    """The server.

    Attributes:
        health: the status of its health check.
        counts: requests by scenario.
        open: connections that are open.
        requests: every body that has come, the last one last.
    """

    def __init__(self, health: int = 200) -> None:
        self.health = health
        self.counts: Counter[str] = Counter()
        self.open = 0
        self.requests: list[Exchange] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen on loopback; port 0 takes any."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        self.open += 1
        try:
            ends = False
            while not writer.is_closing() and (exchange := await _read(reader, writer)) is not None and not ends:
                await self._play(exchange, reader)
                ends = exchange.ends_when_idle
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has gone, which is what many scenarios are for
        finally:
            self.open -= 1
            writer.close()

    async def _play(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        if exchange.target == "/health":
            await exchange.whole(b"", self.health)
            return
        if not exchange.body:
            await exchange.whole(json.dumps(self.counts).encode())
            return
        name = str(exchange.body["model"])
        self.counts[name] += 1
        exchange.number = self.counts[name]
        self.requests.append(exchange)
        playing = asyncio.ensure_future((_asked_for(exchange) or SCENARIOS[name])(exchange))
        gone = asyncio.ensure_future(_gone(reader))
        try:
            await asyncio.wait({playing, gone}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
        finally:
            playing.cancel()
            gone.cancel()
            await asyncio.gather(playing, gone, return_exceptions=True)
        if gone.done() and not gone.cancelled() and gone.exception() is None:
            exchange.writer.close()


def _asked_for(exchange: Exchange) -> Scenario | None:
    name = str(exchange.body["model"])
    if exchange.target.startswith("/v1/embeddings"):
        return VECTORS.get(name)
    return SCORES.get(name) if exchange.target.startswith(("/v1/rerank", "/v1/score")) else None


async def _gone(reader: asyncio.StreamReader) -> None:
    """Returns when the client closes: clients here send nothing while they wait for a response."""
    while not reader.at_eof():  # noqa: ASYNC110 - a reader has no way to wait for its end without reading
        await asyncio.sleep(0.01)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(json.loads(body or b"{}"), headers, writer, head[0].split(" ")[1])


async def _serve(port: int, health: int, says: str) -> None:
    upstream = FaultyUpstream(health)
    await upstream.start(port)
    print(upstream.port, flush=True)  # noqa: T201 - what whoever started it waits for
    if says:
        print(says, flush=True)  # noqa: T201 - its last line
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--health", type=int, default=200)
    parser.add_argument("--once", type=Path)
    parser.add_argument("--says", default="")
    arguments = parser.parse_args()
    if arguments.once is not None:
        if arguments.once.exists():
            sys.exit("cannot start a second time")
        arguments.once.touch()
    asyncio.run(_serve(arguments.port, arguments.health, arguments.says))
