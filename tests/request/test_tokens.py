"""Questions to tokenizers, in vLLM's format: what is read, and what is refused by its place."""

from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError
from deployments.request.tokens import TokensRequest, detokenize_request, tokenize_request
from tests.request.test_openai import LIMITS, LOOK, USER

BEGUN = {"role": "assistant", "content": "Well"}


def read(**body: Any) -> TokensRequest:
    path = detokenize_request if "tokens" in body else tokenize_request
    return path(orjson.dumps(body), LIMITS)


def test_a_text_is_read_as_it_stands_with_the_special_tokens_that_a_tokenizer_adds() -> None:
    asked = read(prompt=" Hi", model="m", return_token_strs=True)

    assert (asked.request.text, asked.request.raw, asked.request.model) == (" Hi", True, "m")
    assert (asked.special, asked.strings, asked.tokens) == (True, True, ())
    assert not read(prompt="", add_special_tokens=False).special


def test_a_chat_is_read_as_a_model_is_asked_it_without_special_tokens_beside_its_template() -> None:
    asked = read(messages=[USER], tools=[LOOK])

    assert (asked.request.messages, asked.request.raw) == (({"role": "user", "content": "Hi"},), False)
    assert asked.request.response_format.functions == (LOOK,)
    assert (asked.special, asked.begins) == (False, True)
    assert not read(messages=[USER], add_generation_prompt=False).begins


def test_the_beginning_of_an_answer_is_a_turn_unless_it_is_to_be_continued() -> None:
    turn, continued = read(messages=[USER, BEGUN]), read(messages=[USER, BEGUN], continue_final_message=True)

    assert (len(turn.request.messages), turn.request.prefix, turn.begins) == (2, "", True)
    assert (len(continued.request.messages), continued.request.prefix, continued.begins) == (1, "Well", False)


def test_tokens_are_read() -> None:
    assert read(tokens=[0, 5]).tokens == (0, 5)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "a", "messages": [USER]}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [USER], "add_generation_prompt": True, "continue_final_message": True}, "add_generation_prompt"),
        ({"messages": [USER], "chat_template": "x"}, "chat_template"),
        ({"prompt": "a", "tools": [LOOK]}, "tools"),
        ({"prompt": "a", "add_special_tokens": "yes"}, "add_special_tokens"),
        ({"prompt": "a", "return_token_strs": 1}, "return_token_strs"),
        ({"tokens": []}, "tokens"),
        ({"tokens": [1, 2, -3]}, "tokens[2]"),
        ({"tokens": ["a"]}, "tokens[0]"),
        ({"tokens": [1], "skip_special_tokens": True}, "skip_special_tokens"),
    ],
)
def test_a_question_that_is_none_is_refused_by_its_place(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(**body)

    assert caught.value.problem.field == field
