"""The tasks of transformers' models beside text generation: the answers of the model itself, in plain JSON."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import ByT5Tokenizer

from deployments.formats import load_model
from deployments.formats.calling import UnreadableInputError
from deployments.formats.text_bounds import TextBounds
from deployments.policy.outcome import Answered, Blank, Rejected
from deployments.request.native import from_python
from deployments.settings import HuggingFaceSpec
from tests.formats import bert
from tests.request.test_native import LIMITS

TEXT = "the cat sat in paris"


@pytest.fixture(autouse=True)
def _models_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models may be below the test's own folder."""
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))


def spec(folder: Path, task: str) -> HuggingFaceSpec:
    source = {"kind": "path", "path": str(folder)}
    fields = {"format": "huggingface", "id": "m", "task": task, "sources": [source], "dtype": "float32"}
    return HuggingFaceSpec.model_validate({**fields, "device": "cpu"})


async def answer(folder: Path, task: str, **body: Any) -> Any:
    model = load_model(spec(bert.folder(folder, task), task), folder)
    outcome = await model.start(from_python(body, LIMITS), 10.0)
    assert isinstance(outcome, Answered), outcome
    return outcome.result


def encoded(*texts: str) -> Any:
    return bert.tokenizer()(*texts, return_tensors="pt")


async def test_a_text_is_classified_with_every_labels_score_best_first(tmp_path: Path) -> None:
    scores = await answer(tmp_path, "text-classification", text=TEXT)

    with torch.inference_mode():
        logits = bert.direct(tmp_path, "text-classification")(**encoded(TEXT)).logits[0]
    expected = dict(zip(bert.LABELS["text-classification"], logits.softmax(-1).tolist(), strict=True))
    assert {score["label"]: score["score"] for score in scores} == pytest.approx(expected)
    assert scores[0]["score"] >= scores[1]["score"]


async def test_words_are_classified_with_their_places(tmp_path: Path) -> None:
    found = await answer(tmp_path, "token-classification", text=TEXT)

    assert all(TEXT[entity["start"] : entity["end"]] == entity["word"] for entity in found)
    assert {entity["entity_group"] for entity in found} <= {"PLACE"}


async def test_a_mask_is_filled_with_the_likeliest_words(tmp_path: Path) -> None:
    filled = await answer(tmp_path, "fill-mask", text="the [MASK] sat")

    with torch.inference_mode():
        logits = bert.direct(tmp_path, "fill-mask")(**encoded("the [MASK] sat")).logits[0, 2]
    assert filled[0]["token"] == int(logits.argmax())


@pytest.mark.parametrize("shape", ["input", "body"])
async def test_a_question_is_answered_with_a_span_of_its_context(tmp_path: Path, shape: str) -> None:
    asked = {"question": "who is here", "context": TEXT}
    body = {"input": asked} if shape == "input" else {"query": asked["question"], "context": TEXT}

    found = await answer(tmp_path, "question-answering", **body)

    assert found["answer"] == TEXT[found["start"] : found["end"]]
    assert found["answer"].strip()
    assert 0 < found["score"] <= 1


async def test_an_embedding_is_the_mean_over_the_tokens_of_length_one(tmp_path: Path) -> None:
    vector = await answer(tmp_path, "feature-extraction", text=TEXT)

    with torch.inference_mode():
        mean = bert.direct(tmp_path, "feature-extraction")(**encoded(TEXT)).last_hidden_state[0].mean(0)
    assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)


async def test_a_text_is_written_anew(tmp_path: Path) -> None:
    written = await answer(tmp_path, "text2text-generation", text=TEXT, max_tokens=5)

    given = encoded(TEXT)
    given.pop("token_type_ids", None)
    tokens = bert.direct(tmp_path, "text2text-generation").generate(**given, max_new_tokens=5)
    assert written == bert.tokenizer().decode(tokens[0], skip_special_tokens=True).strip()


LONG = "the cat " * 100
BOUNDED = [
    ("text-classification", {"text": LONG}, "text"),
    ("token-classification", {"text": LONG}, "text"),
    ("fill-mask", {"text": f"the [MASK] {LONG}"}, "text"),
    ("text2text-generation", {"text": LONG}, "text"),
    ("question-answering", {"query": "who is here", "context": LONG}, "context"),
]


async def outcome_of(folder: Path, task: str, body: dict[str, Any], **more: Any) -> Any:
    made = spec(bert.folder(folder, task), task)
    return await load_model(made.model_copy(update=more), folder).start(from_python(body, LIMITS), 10.0)


@pytest.mark.parametrize(
    ("task", "body", "field", "why"),
    [
        ("question-answering", {"query": "who is here"}, "input", 'accepted: {"question"'),
        ("fill-mask", {"text": "the cat"}, "text", "a text with [MASK]"),
        ("question-answering", {"query": LONG, "context": TEXT}, "question", "accepted: at most 32"),
    ],
)
async def test_what_a_task_cannot_read_is_named_and_no_failure_of_the_model(
    tmp_path: Path, task: str, body: dict[str, Any], field: str, why: str
) -> None:
    outcome = await outcome_of(tmp_path, task, body)

    assert isinstance(outcome, Rejected)
    assert outcome.field == field
    assert why in outcome.reason


@pytest.mark.parametrize(("task", "body", "field"), BOUNDED)
async def test_a_text_beyond_the_bound_is_left_to_another_model_or_cut_as_the_spec_says_and_that_is_told(
    tmp_path: Path, task: str, body: dict[str, Any], field: str
) -> None:
    refused = await outcome_of(tmp_path, task, body)
    cut = await outcome_of(tmp_path, task, body, long_prompt="truncate")

    assert isinstance(refused, Rejected)
    assert (refused.field, refused.code, refused.elsewhere) == (field, "context_length_exceeded", True)
    assert isinstance(cut, Answered)
    (dropped,) = cut.dropped
    assert 150 < int(dropped.removeprefix("prompt_tokens:")) < 200


async def test_a_text_that_is_written_anew_is_no_longer_than_the_models_positions(tmp_path: Path) -> None:
    outcome = await outcome_of(tmp_path, "text2text-generation", {"text": TEXT, "max_tokens": 100_000})

    assert isinstance(outcome, Answered | Blank)


def test_a_model_of_another_task_leaves_no_snapshot(tmp_path: Path) -> None:
    task = "feature-extraction"

    load_model(spec(bert.folder(tmp_path / "model", task), task), tmp_path / "cache")

    assert not list(tmp_path.rglob("*.pkl"))


def test_a_tokenizer_that_tells_no_places_bounds_a_text_and_cuts_none() -> None:
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=8), base_model=None)
    loaded: Any = SimpleNamespace(model=model, tokenizer=ByT5Tokenizer())
    spec: Any = SimpleNamespace(long_prompt="truncate")
    bounds = TextBounds(loaded, spec)

    assert bounds.bound("hello").text == "hello"
    with pytest.raises(UnreadableInputError, match="14 tokens; accepted: at most 8"):
        bounds.bound("hello to you!")
