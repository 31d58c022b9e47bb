"""SmolLM2, loaded once, and a tiny model. Only a real model shows how a text continues where it was cut."""

from functools import cache
from typing import Any

import pytest
import torch

from deployments.generation.prompts import PromptTokenizer
from deployments.generation.transformers import TransformersGenerator
from deployments.settings import read_backup_spec, resolve
from deployments.sources.acquire import acquire
from tests.sources.fakes import RecordingEvents
from tests.sources.tiny import model, tokenizer


@cache
def _loaded() -> Any:
    return acquire(read_backup_spec("configs/backup.yaml"), resolve("cache"), "float32", events=RecordingEvents())


def smollm2_tokens(text: str) -> list[int]:
    """The tokens of a text, by SmolLM2's tokenizer."""
    return list(_loaded().tokenizer(text)["input_ids"])


@pytest.fixture(scope="session")
def smollm2() -> TransformersGenerator:
    loaded = _loaded()
    torch.set_num_threads(2)
    return TransformersGenerator(loaded.model, PromptTokenizer(loaded.tokenizer, 8192), concurrency=2)


@pytest.fixture(scope="session")
def tiny() -> TransformersGenerator:
    made = model()
    return TransformersGenerator(made, PromptTokenizer(tokenizer(), made.config.max_position_embeddings), concurrency=4)
