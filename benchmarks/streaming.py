"""What a router relays of streams, stall detection and continuation bookkeeping included, against a bare relay."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import psutil

from benchmarks.models import WORD
from benchmarks.report import Chart, Report, in_turn, median, ratio
from benchmarks.stage import config, cpu_s, serving

ROUNDS, PACED_ROUNDS = 5, 3
WORDS = 16000
PACE = 50.0
PACED_S = 6
STREAMS = (1, 8)
PACED_STREAMS = 64


@dataclass(frozen=True, slots=True)
class Relayed:
    """One run: words a second, and the router's CPU time for each, in microseconds."""

    words_s: float
    cpu_us: float


def run() -> Report:
    """A model that never waits, from one and from eight streams; then 64 streams at a reader's pace."""
    talker = {"name": "talker", "args": {"spec": "benchmarks/configs/talker.yaml"}}
    bare = {"name": "bare", "route_prefix": "/bare", "import_path": "benchmarks.bare:build", "args": {}}
    with serving(config(talker, bare, build="tests.service.standin:build_instant"), "talker") as service:
        base = str(service.http.base_url)
        ends = {
            "ours": (f"{base}/v1/infer/talker", service.replica("neverblank:Router")),
            "bare": (f"{base}/bare/stream", service.replica("bare:Ingress")),
        }

        def contenders(streams: int, body: dict[str, Any]) -> dict[str, Callable[[], Relayed]]:
            return {
                name: lambda url=url, process=process: _relay(url, process, streams, body)  # type: ignore[misc]
                for name, (url, process) in ends.items()
            }

        paced = {"words": int(PACE * PACED_S), "per_second": PACE}
        for _ in range(3):  # so many at a time are above the limit of a model that nobody knows yet
            asyncio.run(_read(ends["ours"][0], PACED_STREAMS, {"stream": True, "text": "Hello", **paced, "words": 50}))
        rows = [_row(PACED_STREAMS, f"{PACE:g} words/s each", contenders(PACED_STREAMS, paced), PACED_ROUNDS)]
        rows += [
            _row(streams, "as fast as it goes", contenders(streams, {"words": WORDS // streams}), ROUNDS)
            for streams in STREAMS
        ]
    chart = Chart(("streams", "pace"), ("words_s", "bare_words_s"), "words/s")
    return Report("streaming", "What one router relays", rows, chart)


def _row(streams: int, pace: str, contenders: dict[str, Callable[[], Relayed]], rounds: int) -> dict[str, Any]:
    for measure in contenders.values():
        measure()
    runs = in_turn(contenders, rounds)
    ours, bare = runs["ours"], runs["bare"]
    return {
        "streams": streams,
        "pace": pace,
        "words_s": median((one.words_s for one in ours), 0),
        "bare_words_s": median((one.words_s for one in bare), 0),
        "words_ratio": ratio((one.words_s for one in ours), (one.words_s for one in bare)),
        "cpu_us_per_word": median((one.cpu_us for one in ours), 1),
        "bare_cpu_us_per_word": median((one.cpu_us for one in bare), 1),
    }


def _relay(url: str, process: psutil.Process, streams: int, body: dict[str, Any]) -> Relayed:
    before, started = cpu_s(process), time.perf_counter()
    words = asyncio.run(_read(url, streams, {"text": "Hello", "stream": True, "timeout": 60, **body}))
    seconds = time.perf_counter() - started
    if words != streams * body["words"]:
        raise RuntimeError(f"{url} gave {words} of {streams * body['words']} words")
    return Relayed(words / seconds, (cpu_s(process) - before) / words * 1e6)


async def _read(url: str, streams: int, body: dict[str, Any]) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> int:
            data = bytearray()
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                async for piece in response.content.iter_any():
                    data += piece
            told, _, _ = bytes(data).partition(b"event: done")
            return told.count(WORD.encode())

        return sum(await asyncio.gather(*(one() for _ in range(streams))))
