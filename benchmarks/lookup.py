"""What prompt lookup gains where an answer repeats its prompt, and what it costs where none does.

SmolLM2 in the engine of CPUs, called directly in this process, with and without, in turn.
"""

import asyncio
import itertools
from pathlib import Path
from typing import Any

from benchmarks.report import Chart, Report, median, ratio
from benchmarks.streams import Measure, directly
from deployments.formats.engines import load_engine
from deployments.generation import Prompt, Sampling, TextGenerator
from deployments.settings import BackupSpec, read_backup_spec, resolve
from deployments.settings.specs import Speculation

STREAMS = (1, 8, 32)
ROUNDS = 5
TOKENS = 96
GUESSES = 5
_LETTER = (
    "Dear Ms Howard, the delivery of the twelve garden chairs that you ordered on Monday will be two days late, as the "
    "lorry that was to bring them has broken down on the motorway near Bristol. We are very sorry about the delay. The "
    "new date is Thursday, between nine and eleven in the morning. Please tell us if you will not be at home then."
)
PROMPTS = {
    "repeats": f"Repeat this letter word for word, with the name Taylor in the place of Howard.\n\n{_LETTER}",
    "invents": "Write a long story about a cat that travels around the world, with many details.",
}


def engine(spec: BackupSpec, guesses: int) -> TextGenerator:
    """The engine, with so many guesses."""
    speculation = Speculation(prompt_lookup_tokens=guesses)
    asked = spec.model_copy(update={"engine": "openvino", "speculation": speculation})
    return load_engine(asked, Path(resolve("cache")), "backup").generator


async def _rows() -> list[dict[str, Any]]:
    spec = read_backup_spec("configs/backup.yaml")
    engines = {"with": engine(spec, GUESSES), "without": engine(spec, 0)}
    sampling = Sampling(TOKENS, 0.0, 120.0, ignore_eos=True)
    rows = []
    for (kind, text), streams in itertools.product(PROMPTS.items(), STREAMS):
        prompt = Prompt(text)
        contenders: dict[str, Measure] = {
            name: directly(one, lambda prompt=prompt: prompt, lambda: sampling)  # type: ignore[misc]
            for name, one in engines.items()
        }
        for measure in contenders.values():
            await measure(streams)
        rounds = [{name: await measure(streams) for name, measure in contenders.items()} for _ in range(ROUNDS)]
        rates = {name: [each[name].tokens_s for each in rounds] for name in contenders}
        rows.append(
            {
                "the answer": kind,
                "streams": streams,
                **{f"{name}_tokens_s": median(given, 1) for name, given in rates.items()},
                "with_to_without": ratio(rates["with"], rates["without"]),
            }
        )
    return rows


def run() -> Report:
    """Two engines of the same weights; one is asked at a time."""
    rows = asyncio.run(_rows())
    chart = Chart(("the answer", "streams"), ("with_tokens_s", "without_tokens_s"), "tokens/s")
    return Report("lookup", f"Prompt lookup, {GUESSES} guesses a step", rows, chart)
