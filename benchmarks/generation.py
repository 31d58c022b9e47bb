"""What HTTP, the chain and the router cost a stream of tokens, and what the engine of CPUs gains.

SmolLM2 on the same cores, measured in turn, A B C A B C ...: the backup of a real service, over HTTP; its engine called
directly in this process; the portable engine, transformers' continuous batching, called directly. The first two also
write JSON that a grammar holds them to.
"""

import asyncio
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import orjson
import yaml

from benchmarks.report import Chart, Report, median, ratio
from benchmarks.stage import config, serving
from benchmarks.streams import Measure, directly, together
from deployments.formats.engines import load_engine
from deployments.generation import Prompt, Sampling
from deployments.generation.grammar import JsonGrammar
from deployments.settings import read_backup_spec, resolve
from tests.service.service import ROOT

STREAMS = (1, 8, 32)
ROUNDS = 5
TOKENS = 64
MOST_TOKENS_OF_JSON = 200
TEXT = "Write a long story about a cat that travels around the world, with many details."
SCHEMA = {"type": "array", "items": {"enum": ["cat", "dog", "owl"]}, "minItems": 16, "maxItems": 16}
"""About as many tokens as `TOKENS`, wherever the model goes: JSON is given whole, so it has to come to its end."""


def over_http(session: aiohttp.ClientSession) -> Measure:
    """The backup of the service, streamed."""
    body = {"text": TEXT, "max_tokens": TOKENS, "temperature": 0, "stream": True, "timeout": 120}

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


def json_over_http(session: aiohttp.ClientSession) -> Measure:
    """The same, in OpenAI's format, held to `SCHEMA`."""
    body = {
        "model": "backup",
        "messages": [{"role": "user", "content": TEXT}],
        "max_tokens": MOST_TOKENS_OF_JSON,
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "animals", "schema": SCHEMA}},
    }

    async def one() -> tuple[int, float]:
        async with session.post("/v1/chat/completions", json=body) as response:
            answer = await response.json()
            if response.headers.get("x-neverblank-served-by") != "backup":
                raise RuntimeError(f"the backup did not answer: {answer}")
        return answer["usage"]["completion_tokens"], time.monotonic()

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
                **{f"{name}_first_s": median(given) for name, given in firsts.items() if "json" not in name},
                "http_to_openvino": ratio(rates["http"], rates["openvino"]),
                "http_to_transformers": ratio(rates["http"], rates["transformers"]),
                "json_http_to_openvino": ratio(rates["json_http"], rates["json_openvino"]),
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
    free = Sampling(TOKENS, 0.0, 120.0)
    held = Sampling(MOST_TOKENS_OF_JSON, 0.0, 120.0, grammar=JsonGrammar(orjson.dumps(SCHEMA).decode()))

    def prompt() -> Prompt:
        return Prompt(TEXT)

    # 32 streams on slow cores take longer than a backup may before its router holds it to be overloaded.
    data = config(admission={"backup_overload_min_seconds": 120})
    data["applications"][0]["args"]["backup"] = str(one)
    with serving(data) as service:
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(str(service.http.base_url), timeout=timeout) as session:
            contenders = {
                "http": over_http(session),
                **{name: directly(engine, prompt, lambda: free) for name, engine in engines.items()},
                "json_http": json_over_http(session),
                "json_openvino": directly(engines["openvino"], prompt, lambda: held),
            }
            for measure in contenders.values():
                await measure(8)
            return await _rows(contenders)


def run() -> Report:
    """SmolLM2 on the same cores in all of them."""
    bars = (
        "http_tokens_s",
        "openvino_tokens_s",
        "transformers_tokens_s",
        "json_http_tokens_s",
        "json_openvino_tokens_s",
    )
    with TemporaryDirectory() as folder:
        rows = asyncio.run(_measured(Path(folder)))
    return Report(
        "generation",
        "The backup over HTTP, and the engines called directly; free text, and JSON by a grammar",
        rows,
        Chart(("streams",), bars, "tokens/s"),
    )
