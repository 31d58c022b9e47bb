"""What HTTP, the chain and the router cost a stream of tokens, and what the engine of CPUs gains.

SmolLM2 on the same cores, measured in turn, A B C A B C ...: the backup of a real service, over HTTP and streamed; its
engine called directly in this process; the portable engine, transformers' continuous batching, called directly.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml

from benchmarks.report import Chart, Report, median, ratio
from benchmarks.stage import config, serving
from deployments.formats.engines import load_engine
from deployments.generation import Generation, Prompt, Sampling, TextGenerator
from deployments.settings import read_backup_spec, resolve
from tests.service.service import ROOT

STREAMS = (1, 8, 32)
ROUNDS = 3
TOKENS = 64
TEXT = "Write a long story about a cat that travels around the world, with many details."


@dataclass(frozen=True, slots=True)
class Run:
    """One run of some streams beside each other.

    Attributes:
        tokens_s: tokens of all streams in a second.
        first_s: seconds until a stream's first text, the median.
    """

    tokens_s: float
    first_s: float


Measure = Callable[[int], Awaitable[Run]]


async def together(streams: int, one: Callable[[], Awaitable[tuple[int, float]]]) -> Run:
    """Run `one` so many times beside each other; it gives its tokens and when its first text came."""
    started = time.monotonic()
    done = await asyncio.gather(*(one() for _ in range(streams)))
    seconds = time.monotonic() - started
    return Run(sum(tokens for tokens, _ in done) / seconds, statistics.median(first - started for _, first in done))


def over_http(session: aiohttp.ClientSession) -> Measure:
    """The backup of the service, streamed."""
    body = {"text": TEXT, "max_tokens": TOKENS, "stream": True, "timeout": 120}

    async def one() -> tuple[int, float]:
        first, tokens = 0.0, 0
        async with session.post("/v1/infer/backup", json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    first = first or time.monotonic()
                    if (event := json.loads(line[6:])) and "usage" in event:
                        if event["served_by"] != "backup":
                            raise RuntimeError(f"the backup did not answer: {event}")
                        tokens = event["usage"]["completion_tokens"]
        return tokens, first

    return lambda streams: together(streams, one)


def directly(generator: TextGenerator) -> Measure:
    """An engine of ours in this process."""

    async def one() -> tuple[int, float]:
        first = 0.0
        async for item in generator.stream(Prompt(TEXT), Sampling(TOKENS, 0.0, 120.0)):
            first = first or time.monotonic()
            if isinstance(item, Generation):
                return item.completion_tokens, first
        raise AssertionError("a stream ends with its generation")

    return lambda streams: together(streams, one)


async def _rows(contenders: dict[str, Measure]) -> list[dict[str, Any]]:
    """A row for each number of streams: medians, and the medians of the rounds' ratios."""
    rows = []
    for streams in STREAMS:
        rounds = [{name: await measure(streams) for name, measure in contenders.items()} for _ in range(ROUNDS)]
        rates = {name: [each[name].tokens_s for each in rounds] for name in contenders}
        firsts = {name: [each[name].first_s for each in rounds] for name in contenders}
        rows.append(
            {
                "streams": streams,
                **{f"{name}_tokens_s": median(given, 1) for name, given in rates.items()},
                **{f"{name}_first_s": median(given) for name, given in firsts.items()},
                "http_to_openvino": ratio(rates["http"], rates["openvino"]),
                "http_to_transformers": ratio(rates["http"], rates["transformers"]),
            }
        )
    return rows


async def _measured(folder: Path) -> list[dict[str, Any]]:
    """Start everything once and measure in turn."""
    # One replica: a second one on the same cores has half the batch, and half the rate.
    told = yaml.safe_load((ROOT / "configs" / "backup.yaml").read_text())
    one = folder / "backup.yaml"
    one.write_text(yaml.safe_dump(told | {"replicas": {"min": 1, "max": 1}}))
    spec, cache = read_backup_spec(str(one)), Path(resolve("cache"))
    engines = {
        name: load_engine(spec.model_copy(update={"engine": name}), cache, name).generator
        for name in ("openvino", "transformers")
    }
    data = config()
    data["applications"][0]["args"]["backup"] = str(one)
    with serving(data) as service:
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(str(service.http.base_url), timeout=timeout) as session:
            contenders = {"http": over_http(session)} | {name: directly(one) for name, one in engines.items()}
            for measure in contenders.values():
                await measure(8)
            return await _rows(contenders)


def run() -> Report:
    """SmolLM2 on the same cores in all of them."""
    bars = ("http_tokens_s", "openvino_tokens_s", "transformers_tokens_s")
    with TemporaryDirectory() as folder:
        rows = asyncio.run(_measured(Path(folder)))
    return Report(
        "generation",
        "The backup over HTTP, and the engines called directly",
        rows,
        Chart(("streams",), bars, "tokens/s"),
    )
