"""SmolLM2 itself, loaded once: what a text model does at the joint of a text no tiny model shows."""

from typing import Any

import pytest
import torch

from deployments.generation.tokens import Tokens
from deployments.generation.transformers import TransformersGenerator
from deployments.settings import load_backup, resolve
from deployments.sources.acquire import acquire
from tests.sources.fakes import RecordingEvents
from tests.sources.tiny import model, tokenizer


@pytest.fixture(scope="session")
def smollm2() -> TransformersGenerator:
    spec = load_backup("configs/backup.yaml")
    loaded: Any = acquire(spec, resolve("cache"), "float32", events=RecordingEvents())
    torch.set_num_threads(2)
    return TransformersGenerator(loaded.model, Tokens(loaded.tokenizer, 8192), concurrency=2)


@pytest.fixture(scope="session")
def tiny() -> TransformersGenerator:
    made = model()
    return TransformersGenerator(made, Tokens(tokenizer(), made.config.max_position_embeddings), concurrency=4)
