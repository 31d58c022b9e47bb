"""What is kept of the prompts of one caller does not change the text of another."""

import random
from pathlib import Path

import openvino_genai as genai
import pytest

from deployments.generation import Sampling
from deployments.generation.openvino_engine import OpenVINOEngine, OpenVINORequest, scheduler_config
from deployments.generation.prompt_lookup import NO_LOOKUP, PromptLookup
from tests.sources.tiny import gguf

WRITING = Sampling(40, 0.0, 60.0, ignore_eos=True)
_EXACT = {"KV_CACHE_PRECISION": "f32", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", for_openvino=True)


def engine_of(file: Path, lookup: PromptLookup) -> OpenVINOEngine:
    config, properties = scheduler_config(24, lookup), lookup.properties() | _EXACT
    return OpenVINOEngine(genai.ContinuousBatchingPipeline(str(file), config, "CPU", properties), lookup)


def text_of(engine: OpenVINOEngine, request: OpenVINORequest) -> list[int]:
    text: list[int] = []
    while not request.over:
        engine.step()
        text.extend(request.read())
    return text


@pytest.mark.parametrize("lookup", [NO_LOOKUP, PromptLookup(5)], ids=["plain", "prompt lookup"])
def test_a_prompt_whose_reader_went_away_is_answered_rightly_for_the_next_one(file: Path, lookup: PromptLookup) -> None:
    source = random.Random(3)  # noqa: S311 - not a secret
    others, prompt = [5, 6, 7], [source.randrange(3, 250) for _ in range(600)]
    fresh = engine_of(file, lookup)
    right = text_of(fresh, fresh.add(prompt, WRITING))
    engine = engine_of(file, lookup)
    for _ in range(16):  # they take a part of each step: of the prompt some blocks are read in it, and half of one
        engine.add(others, WRITING)
    engine.step()

    gone = engine.add(prompt, WRITING)
    engine.step()
    gone.cancel()
    assert engine.leaving()
    while engine.leaving():
        engine.step()

    assert gone.over
    assert text_of(engine, engine.add(prompt, WRITING)) == right


@pytest.mark.parametrize("lookup", [NO_LOOKUP, PromptLookup(5)], ids=["plain", "prompt lookup"])
def test_a_prompt_that_was_read_in_pieces_is_answered_like_one_that_was_read_at_once(
    file: Path, lookup: PromptLookup
) -> None:
    source = random.Random(4)  # noqa: S311 - not a secret
    prompt = [source.randrange(3, 250) for _ in range(1100)]
    fresh = engine_of(file, lookup)
    right = text_of(fresh, fresh.add(prompt, WRITING))
    engine = engine_of(file, lookup)
    for _ in range(6):
        engine.add([5, 6, 7], WRITING)
    engine.step()

    for end in range(engine.piece, len(prompt), engine.piece):
        assert len(text_of(engine, engine.add(prompt[:end], Sampling(1, 0.0, 60.0), engine.piece))) == 1
    last = engine.add(prompt, WRITING, len(prompt) % engine.piece)
    engine.step()
    begun = last.read()

    assert begun, "it has read again what it had read"
    assert [*begun, *text_of(engine, last)] == right
