"""Vectors of texts: as the model's own files say, of exactly what was sent, and of nothing that was not understood."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deployments.formats import load_model
from deployments.formats.sentence import RecipeError
from deployments.policy.outcome import Answered, Rejected, Usage
from deployments.request.native import from_python
from deployments.settings import HuggingFaceSpec
from tests.formats import bert
from tests.request.test_native import LIMITS

TASK = "feature-extraction"
TEXT = "the cat sat in paris"
MODULES = {"1_Pooling": "sentence_transformers.models.Pooling", "2_Normalize": "sentence_transformers.models.Normalize"}


@pytest.fixture(autouse=True)
def _models_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models may be below the test's own folder."""
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def a_folder(at: Path, pooling: dict[str, Any] | None = None, modules: dict[str, str] = MODULES) -> Path:
    """A model with the files of sentence-transformers beside it."""
    bert.folder(at, TASK)
    if pooling is not None:
        first = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
        more = [{"idx": n, "name": str(n), "path": path, "type": modules[path]} for n, path in enumerate(modules, 1)]
        write(at, "modules.json", [first, *more])
        write(at, "1_Pooling/config.json", {"word_embedding_dimension": 16, **pooling})
    return at


def a_model(folder: Path, **more: Any) -> Any:
    source = {"kind": "path", "path": str(folder)}
    fields = {"format": "huggingface", "id": "m", "task": TASK, "sources": [source], "dtype": "float32"}
    return load_model(HuggingFaceSpec.model_validate({**fields, "device": "cpu", **more}), folder)


async def ask(model: Any, **body: Any) -> Any:
    return await model.start(from_python(body, LIMITS), 10.0)


async def vectors(model: Any, **body: Any) -> torch.Tensor:
    outcome = await ask(model, **body)
    assert isinstance(outcome, Answered), outcome
    return torch.tensor(outcome.result)


def hidden(folder: Path, text: str = TEXT) -> torch.Tensor:
    """The vectors of the tokens of `text`, from the model itself."""
    with torch.inference_mode():
        found: torch.Tensor = bert.direct(folder, TASK)(
            **bert.tokenizer()(text, return_tensors="pt")
        ).last_hidden_state[0]
    return found


RULES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "pooling_mode_mean_tokens": lambda tokens: tokens.mean(0),
    "pooling_mode_cls_token": lambda tokens: tokens[0],
    "pooling_mode_max_tokens": lambda tokens: tokens.amax(0),
    "pooling_mode_lasttoken": lambda tokens: tokens[-1],
    "pooling_mode_mean_sqrt_len_tokens": lambda tokens: tokens.sum(0) / len(tokens) ** 0.5,
    "pooling_mode_weightedmean_tokens": lambda tokens: (
        torch.stack([place * token for place, token in enumerate(tokens, 1)]).sum(0) / sum(range(1, len(tokens) + 1))
    ),
}


@pytest.mark.parametrize("mode", RULES)
async def test_a_vector_is_pooled_as_the_models_files_say_whatever_is_in_the_batch_beside_it(
    tmp_path: Path, mode: str
) -> None:
    folder = a_folder(tmp_path, {"pooling_mode_mean_tokens": False, mode: True}, {"1_Pooling": MODULES["1_Pooling"]})

    found = await vectors(a_model(folder), input=["the", TEXT, f"{TEXT} {TEXT}"])

    assert torch.allclose(found[1], RULES[mode](hidden(folder)), atol=1e-5)


async def test_vectors_have_the_length_one_where_the_files_or_the_spec_say_so(tmp_path: Path) -> None:
    pooled = a_folder(tmp_path / "a", {"pooling_mode": "mean"}, {"1_Pooling": MODULES["1_Pooling"]})
    both = a_folder(tmp_path / "b", {"pooling_mode": "mean"})
    mean = hidden(both).mean(0)

    as_it_says = await vectors(a_model(both), text=TEXT)
    not_said = await vectors(a_model(pooled), text=TEXT)
    by_the_spec = await vectors(a_model(both, embedding={"normalize": False, "pooling": "cls"}), text=TEXT)

    assert torch.allclose(as_it_says, mean / mean.norm(), atol=1e-5)
    assert torch.allclose(not_said, mean, atol=1e-5)
    assert torch.allclose(by_the_spec, hidden(both)[0], atol=1e-5)


async def test_a_dense_layer_behind_the_pooling_is_part_of_the_model(tmp_path: Path) -> None:
    modules = {"1_Pooling": MODULES["1_Pooling"], "2_Dense": "sentence_transformers.models.Dense"}
    folder = a_folder(tmp_path, {"pooling_mode_mean_tokens": True}, modules)
    matrix, bias = torch.randn(4, 16), torch.randn(4)
    write(folder, "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"})
    save_file({"linear.weight": matrix, "linear.bias": bias}, folder / "2_Dense/model.safetensors")

    model = a_model(folder)

    expected = torch.tanh(matrix @ hidden(folder).mean(0) + bias)
    assert torch.allclose(await vectors(model, text=TEXT), expected, atol=1e-5)
    assert model.describe()["dimensions"] == 4


@pytest.mark.parametrize(
    ("pooling", "modules", "reason"),
    [
        ({"pooling_mode": "attention"}, MODULES, "pooling attention"),
        ({}, {**MODULES, "3_CNN": "sentence_transformers.models.CNN"}, "module CNN"),
        ({}, {**MODULES, "2_Dense": "sentence_transformers.models.Dense"}, "no model.safetensors"),
    ],
)
def test_what_the_files_ask_for_and_is_not_known_fails_the_load(
    tmp_path: Path, pooling: dict[str, Any], modules: dict[str, str], reason: str
) -> None:
    with pytest.raises(RecipeError, match=reason):
        a_model(a_folder(tmp_path, pooling, modules))


async def test_an_answer_tells_its_tokens_dimensions_and_space(tmp_path: Path) -> None:
    model = a_model(a_folder(tmp_path), space="cats")

    outcome = await ask(model, input=[TEXT, "the"])

    assert outcome.usage == Usage(7 + 3, 0)
    assert outcome.extras.body == {"dimensions": 16, "space": "cats", "revision": ""}
    assert {key: model.describe()[key] for key in ("dimensions", "space", "max_tokens")} == {
        "dimensions": 16,
        "space": "cats",
        "max_tokens": 32,
    }


async def test_token_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    model = a_model(a_folder(tmp_path))
    ids = bert.tokenizer()(TEXT)["input_ids"]

    one, several = await vectors(model, input=ids), await vectors(model, input=[ids, ids[1:-1]])

    assert torch.allclose(one, await vectors(model, text=TEXT), atol=1e-6)
    assert torch.allclose(several[0], one, atol=1e-5)
    assert not torch.allclose(several[1], one, atol=1e-3)


LONG = " ".join(["cat"] * 40)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": [TEXT, LONG]}, "input[1]"),
        ({"text": LONG}, "text"),
        ({"input": [5] * 33}, "input"),
        ({"input": [TEXT, ""]}, "input[1]"),
        ({"input": [TEXT, 7]}, "input[1]"),
        ({"input": [[5], []]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [[16]]}, "input[0]"),
        ({"input": [-1]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["the"] * 4}, "input"),
        ({"messages": [{"role": "user", "content": TEXT}]}, "messages"),
        ({"text": TEXT, "dimensions": 8}, "dimensions"),
        ({"text": TEXT, "dimensions": 0}, "dimensions"),
        ({"text": TEXT, "dimensions": True}, "dimensions"),
        ({"text": TEXT, "prompt_name": "query"}, "prompt_name"),
    ],
)
async def test_what_no_vector_can_be_made_of_is_rejected_by_its_place(
    tmp_path: Path, body: dict[str, Any], field: str
) -> None:
    outcome = await ask(a_model(a_folder(tmp_path), embedding={"max_texts": 3}), **body)

    assert isinstance(outcome, Rejected)
    assert outcome.field == field
    assert (outcome.code, outcome.elsewhere) == (
        ("context_length_exceeded", True) if "tokens;" in outcome.reason else ("", False)
    )


async def test_a_text_that_is_too_long_is_cut_where_the_spec_says_so_and_the_answer_tells_it(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    write(folder, "sentence_bert_config.json", {"max_seq_length": 10, "do_lower_case": True})

    outcome = await ask(a_model(folder, long_prompt="truncate"), input=[LONG.upper(), "the"])

    assert outcome.extras.body["truncated"] == [{"index": 0, "tokens": 42, "kept": 10}]
    mean = hidden(folder, " ".join(["cat"] * 8)).mean(0)
    assert torch.allclose(torch.tensor(outcome.result[0]), mean / mean.norm(), atol=1e-5)


@pytest.mark.parametrize("by", ["spec", "config"])
async def test_shorter_vectors_are_given_only_by_a_model_that_is_trained_for_them(tmp_path: Path, by: str) -> None:
    folder = a_folder(tmp_path)
    if by == "config":
        config = json.loads((folder / "config.json").read_text("utf-8"))
        write(folder, "config.json", config | {"matryoshka_dimensions": [4, 8, 16]})
    model = a_model(folder, embedding={"dimensions": [4, 8]} if by == "spec" else {})
    whole = await vectors(model, text=TEXT)

    outcome = await ask(model, text=TEXT, dimensions=4)

    assert torch.allclose(torch.tensor(outcome.result), whole[:4] / whole[:4].norm(), atol=1e-5)
    assert outcome.extras.body["dimensions"] == 4
    assert isinstance(await ask(model, text=TEXT, dimensions=5), Rejected)


async def test_a_prompt_of_the_models_goes_before_the_text(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "who is ", "": "the "}})

    model = a_model(folder)
    written = await vectors(model, text="who is here")
    named = await vectors(model, text="here", prompt_name="query")
    write(
        folder, "config_sentence_transformers.json", {"prompts": {"query": "who is "}, "default_prompt_name": "query"}
    )
    by_default = await vectors(a_model(folder), text="here")

    assert torch.equal(named, written)
    assert torch.equal(by_default, written)


async def test_a_vector_with_nan_in_it_is_a_failure_and_no_answer(tmp_path: Path) -> None:
    model = a_model(a_folder(tmp_path))
    model._encoder.embeddings.word_embeddings.weight.data.fill_(float("nan"))

    with pytest.raises(FloatingPointError, match="NaN"):
        await ask(model, text=TEXT)
