"""SmolLM2 itself, loaded once: what a text model does at the joint of a text no tiny model shows."""

from functools import cache
from typing import Any

import pytest
import torch

from deployments.generation.tokens import Tokens
from deployments.generation.transformers import TransformersGenerator
from deployments.settings import read_backup_spec, resolve
from deployments.sources.acquire import acquire
from tests.sources.fakes import RecordingEvents
from tests.sources.tiny import model, tokenizer


@cache
def _loaded() -> Any:
    return acquire(read_backup_spec("configs/backup.yaml"), resolve("cache"), "float32", events=RecordingEvents())


def smollm2_tokens(text: str) -> list[int]:
    """The tokens of a text, as SmolLM2 reads it."""
    return list(_loaded().tokenizer(text)["input_ids"])


@pytest.fixture(scope="session")
def smollm2() -> TransformersGenerator:
    loaded = _loaded()
    torch.set_num_threads(2)
    return TransformersGenerator(loaded.model, Tokens(loaded.tokenizer, 8192), concurrency=2)


@pytest.fixture(scope="session")
def tiny() -> TransformersGenerator:
    made = model()
    return TransformersGenerator(made, Tokens(tokenizer(), made.config.max_position_embeddings), concurrency=4)
