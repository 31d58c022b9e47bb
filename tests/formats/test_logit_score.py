"""Language models that score pairs by the words that they would write (`LogitScore` of sentence-transformers)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GlmForCausalLM

from deployments.formats.sentence import RecipeError
from deployments.policy.outcome import Answered
from tests.formats import bert
from tests.formats.test_scoring import LONGER, PAIR, TEMPLATE, a_folder, a_model, asked

YES, NO = (bert.WORDS.index(word) for word in ("cat", "mat"))
WITH_PROMPT = "{% for each in messages if each.role == 'system' %}{{ each.content }} {% endfor %}" + TEMPLATE


def a_ranker(at: Path, *, score: dict[str, Any], says: dict[str, Any] | None = None, template: str = TEMPLATE) -> Path:
    """A language model that writes, with the files that sentence-transformers saves beside one that scores."""
    folder = a_folder(at, chat_template=template, writes=True)
    steps = [
        ("base.modules.transformer.Transformer", ""),
        ("cross_encoder.modules.logit_score.LogitScore", "1_LogitScore"),
    ]
    told = [
        {"idx": place, "name": str(place), "type": f"sentence_transformers.{kind}", "path": path}
        for place, (kind, path) in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(told))
    (folder / "1_LogitScore").mkdir()
    (folder / "1_LogitScore/config.json").write_text(json.dumps(score))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(says or {}))
    return folder


def logits_of(folder: Path, text: str) -> torch.Tensor:
    """What transformers itself has behind a text."""
    model: Any = GlmForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([[bert.WORDS.index(word) for word in text.split()]])).logits
    return logits[0, -1]


@pytest.mark.parametrize("no", [NO, None])
async def test_a_score_is_how_much_likelier_one_word_is_than_another_whatever_else_is_in_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no: int | None
) -> None:
    folder = a_ranker(tmp_path / "m", score={"true_token_id": YES, "false_token_id": no})
    model = a_model(folder, monkeypatch)

    answered = await model.start(asked(PAIR, LONGER, ("a mat", "paris")), 30.0)

    assert isinstance(answered, Answered)
    for (score,), (first, second) in zip(answered.result, (PAIR, LONGER, ("a mat", "paris")), strict=True):
        logits = logits_of(folder, f"who {first} is {second} here in")
        expected = logits[YES] - (0 if no is None else logits[no])
        assert score == pytest.approx(float(expected.sigmoid()), abs=1e-5)
    assert model.describe()["score"] == "logits"


async def test_a_score_goes_through_the_function_of_its_files_and_its_prompt_is_a_system_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = {
        "activation_fn": "torch.nn.modules.linear.Identity",
        "prompts": {"web": "the cat"},
        "default_prompt_name": "web",
    }
    score = {"true_token_id": YES, "false_token_id": NO}
    folder = a_ranker(tmp_path / "m", score=score, says=says, template=WITH_PROMPT)

    answered = await a_model(folder, monkeypatch).start(asked(PAIR), 30.0)

    logits = logits_of(folder, f"the cat who {PAIR[0]} is {PAIR[1]} here in")
    assert answered.result == [[pytest.approx(float(logits[YES] - logits[NO]), abs=1e-5)]]


@pytest.mark.parametrize(
    ("score", "says", "told"),
    [
        ({"true_token_id": len(bert.WORDS)}, {}, "tokens that it does not have"),
        ({"true_token_id": -1}, {}, "tokens that it does not have"),
        ({"false_token_id": NO}, {}, "cannot be read"),
        (
            {"true_token_id": YES},
            {"prompts": {"web": "the"}, "default_prompt_name": "web"},
            "no template writes its prompt",
        ),
    ],
)
def test_files_that_do_not_fit_the_model_fail_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: dict[str, Any], says: dict[str, Any], told: str
) -> None:
    folder = a_ranker(tmp_path / "m", score=score, says=says)

    with pytest.raises(RecipeError, match=told):
        a_model(folder, monkeypatch)
