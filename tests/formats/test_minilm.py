"""A real model of sentences, from its wheel: the vectors that plain transformers gives, and what they are known for."""

from functools import cache
from typing import Any

import torch

from deployments.formats.embedding import EmbeddingModel
from deployments.request.native import from_python
from deployments.settings import read_model_spec, resolve
from tests.request.test_native import LIMITS

SENTENCES = ["A man is eating food.", "A man eats a meal.", "The stock market fell on Monday."]


@cache
def minilm() -> EmbeddingModel:
    spec: Any = read_model_spec("configs/models/minilm.yaml")
    wheel = spec.sources[-1]
    return EmbeddingModel.load(spec.model_copy(update={"sources": (wheel,), "dtype": "float32"}), resolve("cache"))


async def vectors(*texts: str) -> Any:
    outcome: Any = await minilm().start(from_python({"input": list(texts)}, LIMITS), 60.0)
    return torch.tensor(outcome.result)


async def test_its_vectors_are_those_of_plain_transformers_pooled_by_the_mean() -> None:
    loaded = minilm()._loaded
    encoded = loaded.tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden = loaded.model(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)

    assert torch.allclose(await vectors(*SENTENCES), mean / mean.norm(dim=1, keepdim=True), atol=1e-5)


async def test_sentences_that_mean_the_same_are_near_and_others_are_not() -> None:
    found = await vectors(*SENTENCES)
    near, far = float(found[0] @ found[1]), float(found[0] @ found[2])

    assert near > 0.8
    assert abs(far) < 0.2


def test_it_says_what_it_is() -> None:
    facts = minilm().describe()

    assert {key: facts[key] for key in ("dimensions", "max_tokens", "pooling", "normalized", "space")} == {
        "dimensions": 384,
        "max_tokens": 256,
        "pooling": ["mean"],
        "normalized": True,
        "space": "all-MiniLM-L6-v2",
    }
