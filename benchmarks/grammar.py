"""How long the first token of an answer takes that a grammar holds to its form, against that of a free one.

SmolLM2 in the engine of CPUs, called directly, in turn: free text; JSON by a grammar that the engine has compiled; JSON
by one that it has not. No two prompts begin alike, so that none is read from the engine's cache.
"""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import orjson

from benchmarks.report import Chart, Report, median, ratio
from benchmarks.streams import directly
from deployments.formats.engines import load_engine
from deployments.generation import Prompt, Sampling, TextGenerator
from deployments.generation.grammar import JsonGrammar
from deployments.settings import read_backup_spec, resolve

STREAMS = (1, 8, 32)
ROUNDS = 9
TOKENS = 4


def grammar(key: str) -> JsonGrammar:
    """A form as callers ask for it; that of another `key` has to be compiled anew."""
    properties = {
        key: {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return JsonGrammar(orjson.dumps(schema).decode())


async def _rows(generator: TextGenerator) -> list[dict[str, Any]]:
    numbers = itertools.count(1000)
    free = Sampling(TOKENS, 0.0, 60.0)

    def prompt() -> Prompt:
        return Prompt(f"{next(numbers)} people travel around the world. Describe one of them: name, age, and colours.")

    def held(key: str) -> Sampling:
        return Sampling(TOKENS, 0.0, 60.0, grammar=grammar(key))

    contenders = {
        "free": directly(generator, prompt, lambda: free),
        "cached": directly(generator, prompt, lambda: held("name")),
        "new": directly(generator, prompt, lambda: held(f"name{next(numbers)}")),
    }
    rows = []
    for streams in STREAMS:
        for measure in contenders.values():
            await measure(streams)
        rounds = [{name: await measure(streams) for name, measure in contenders.items()} for _ in range(ROUNDS)]
        firsts = {name: [each[name].first_s for each in rounds] for name in contenders}
        rows.append(
            {
                "streams": streams,
                **{f"{name}_first_s": median(given, 4) for name, given in firsts.items()},
                "cached_to_free": ratio(firsts["cached"], firsts["free"]),
                "new_to_free": ratio(firsts["new"], firsts["free"]),
            }
        )
    return rows


def run() -> Report:
    """One engine; what is asked of it takes turns."""
    spec = read_backup_spec("configs/backup.yaml").model_copy(update={"engine": "openvino"})
    rows = asyncio.run(_rows(load_engine(spec, Path(resolve("cache")), "backup").generator))
    bars = ("free_first_s", "cached_first_s", "new_first_s")
    return Report(
        "grammar", "The first token: of free text, and of JSON by a grammar", rows, Chart(("streams",), bars, "s")
    )
