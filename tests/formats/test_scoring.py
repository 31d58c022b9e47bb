"""Language models that score pairs: read by a template as they were trained, or not loaded; and never at random."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GlmConfig, GlmForCausalLM, GlmForSequenceClassification, PreTrainedTokenizerFast

from deployments.formats import load_model
from deployments.formats.sentence import RecipeError
from deployments.policy.outcome import Answered, Rejected
from deployments.request import InferenceRequest
from deployments.request.ranking import PAIRS
from deployments.settings import HuggingFaceSpec
from deployments.sources import NoSourceError
from tests.formats import bert

TEMPLATE = (
    "who {{ (messages | selectattr('role', 'eq', 'query') | first).content }} is "
    "{{ (messages | selectattr('role', 'eq', 'document') | first).content }} here in"
)
OF_CHATS = "{% for message in messages %}{% if message.role == 'user' %}{{ message.content }}{% endif %}{% endfor %}"
PAIR, LONGER = ("a mat", "the cat sat"), ("a mat", "the cat sat on a mat in paris")


def a_folder(at: Path, *, chat_template: str | None = None, writes: bool = False) -> Path:
    """A language model that scores, whose tokenizer sets nothing between texts; or one that `writes`."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(bert.WORDS)}, unk_token="[UNK]"))  # noqa: S106 - no secret
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=14, pad_token="[PAD]", unk_token="[UNK]", chat_template=chat_template  # noqa: S106 - no secrets
    )  # fmt: skip
    torch.manual_seed(3)
    config = GlmConfig(
        vocab_size=len(bert.WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64, initializer_range=0.5, num_labels=1,
        pad_token_id=None, eos_token_id=None,
    )  # fmt: skip
    (GlmForCausalLM if writes else GlmForSequenceClassification)(config).eval().save_pretrained(at)
    tokenizer.save_pretrained(at)
    return at


def a_model(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    monkeypatch.setenv("NEVERBLANK_MODELS", str(folder.parent))
    source = {"kind": "path", "path": str(folder)}
    fields = {"format": "huggingface", "id": "m", "task": "text-ranking", "sources": [source], "dtype": "float32"}
    return load_model(HuggingFaceSpec.model_validate({**fields, "device": "cpu", **more}), folder)


def asked(*pairs: tuple[str, str]) -> InferenceRequest:
    return InferenceRequest({PAIRS: [list(pair) for pair in pairs]}, "", (), "m", 30.0, vectors=True)


def score_of(folder: Path, text: str) -> float:
    """What transformers itself says of a text."""
    model: Any = GlmForSequenceClassification.from_pretrained(folder).eval()
    ids = torch.tensor([[bert.WORDS.index(word) for word in text.split()]])
    with torch.inference_mode():
        return float(model(input_ids=ids).logits.sigmoid())


@pytest.mark.parametrize("of_spec", [False, True])
async def test_pairs_are_written_by_the_template_of_the_files_or_of_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, of_spec: bool
) -> None:
    folder = a_folder(tmp_path / "m", chat_template=OF_CHATS if of_spec else TEMPLATE)
    model = a_model(folder, monkeypatch, **({"embedding": {"pair_template": TEMPLATE}} if of_spec else {}))

    answered = await model.start(asked(PAIR, ("a mat", "paris")), 30.0)

    expected = [score_of(folder, f"who a mat is {document} here in") for document in (PAIR[1], "paris")]
    assert [score for (score,) in answered.result] == pytest.approx(expected, abs=1e-5)
    assert model.describe()["pairs"] == ("pair_template" if of_spec else "chat_template")


async def test_a_document_that_is_too_long_is_cut_and_not_what_the_template_writes_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path / "m", chat_template=TEMPLATE)
    cutting = a_model(folder, monkeypatch, long_prompt="truncate", embedding={"max_tokens": 10})
    refusing = a_model(folder, monkeypatch, long_prompt="refuse", embedding={"max_tokens": 10})

    cut = await cutting.start(asked(PAIR, LONGER), 30.0)
    refused = await refusing.start(asked(PAIR, LONGER), 30.0)
    of_query = await cutting.start(asked(("a mat " * 5, "paris")), 30.0)

    assert isinstance(cut, Answered)
    assert cut.result[1][0] == pytest.approx(score_of(folder, "who a mat is the cat sat on here in"), abs=1e-5)
    assert cut.extras.body["truncated"] == [{"index": 1, "tokens": 14, "kept": 10}]
    assert [isinstance(each, Rejected) for each in (refused, of_query)] == [True, True]
    assert refused.field == "documents[1]"


@pytest.mark.parametrize(
    ("chat_template", "pair_template", "told"),
    [
        (None, "", "sets nothing between two texts"),
        (OF_CHATS, "", r"embedding\.pair_template"),
        (TEMPLATE, "{{ messages[0].content }}", "does not write both texts"),
        (None, "{{ messages[0].content", "pair_template cannot be rendered"),
        ("query document {{ messages[0].content }}", "", "chat_template does not write both texts"),
    ],
)
def test_a_model_that_cannot_be_read_as_it_was_trained_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat_template: str | None, pair_template: str, told: str
) -> None:
    folder = a_folder(tmp_path / "m", chat_template=chat_template)

    with pytest.raises(RecipeError, match=told):
        a_model(folder, monkeypatch, embedding={"pair_template": pair_template})


def test_a_model_that_writes_is_not_given_a_head_of_random_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path / "m", chat_template=TEMPLATE, writes=True)

    with pytest.raises(NoSourceError, match=r"lacks score\.weight"):
        a_model(folder, monkeypatch)


@pytest.mark.parametrize(
    ("file", "says", "told"),
    [
        ("modules.json", [{"type": "a.Transformer", "path": ""}, {"type": "a.Dense", "path": "1"}], "Dense"),
        ("config_sentence_transformers.json", {"activation_fn": "torch.nn.modules.activation.Softplus"}, "Softplus"),
        ("config_sentence_transformers.json", {"prompts": {"web": "Find: "}, "default_prompt_name": "web"}, "Find: "),
    ],
)
def test_what_the_files_of_sentence_transformers_ask_for_and_is_not_known_fails_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, says: Any, told: str
) -> None:
    folder = a_folder(tmp_path / "m", chat_template=TEMPLATE)
    (folder / file).write_text(json.dumps(says))

    with pytest.raises(RecipeError, match=told):
        a_model(folder, monkeypatch)


def test_files_of_sentence_transformers_that_cannot_be_read_fail_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path / "m", chat_template=TEMPLATE)
    (folder / "modules.json").write_text('{"type": "a.Transformer"}')

    with pytest.raises(NoSourceError, match="cannot be read"):
        a_model(folder, monkeypatch)
