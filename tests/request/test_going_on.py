"""When an assistant's message at the end of a chat is the beginning of the answer."""

from typing import Any

import pytest

from tests.request.test_openai import USER, chat, refused

BEGUN = {"role": "assistant", "content": "Well, "}


def test_a_trailing_assistants_message_is_a_turn_like_any_other() -> None:
    request = chat(messages=[USER, BEGUN], continue_final_message=False, add_generation_prompt=True)

    assert (request.prefix, len(request.messages), request.turns) == ("", 2, (USER, BEGUN))
    assert (request.passthrough, request.features) == ({}, ())


@pytest.mark.parametrize(
    ("headers", "last", "body", "passed"),
    [
        (
            {},
            BEGUN,
            {"continue_final_message": True},
            {"continue_final_message": True, "add_generation_prompt": False},
        ),
        (
            {},
            BEGUN,
            {"continue_final_message": True, "add_generation_prompt": False},
            {"continue_final_message": True, "add_generation_prompt": False},
        ),
        ({}, BEGUN | {"prefix": True}, {}, {}),
        ({"x-neverblank-continue": "true"}, BEGUN, {}, {}),
    ],
    ids=["vllm", "vllm in full", "mistral", "a service of ours"],
)
def test_it_is_the_beginning_of_the_answer_where_the_caller_says_so(
    headers: dict[str, str], last: dict[str, Any], body: dict[str, Any], passed: dict[str, Any]
) -> None:
    request = chat(headers, messages=[USER, last], **body)

    assert (request.prefix, len(request.messages), request.turns) == ("Well, ", 1, (USER,))
    assert (request.passthrough, request.features, request.prefix_turn) == (passed, (), last)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"continue_final_message": True}, "continue_final_message"),
        ({"continue_final_message": "yes"}, "continue_final_message"),
        (
            {"messages": [USER, BEGUN], "continue_final_message": True, "add_generation_prompt": True},
            "add_generation_prompt",
        ),
        ({"messages": [BEGUN], "continue_final_message": True}, "messages"),
    ],
)
def test_an_answer_that_cannot_be_continued_is_refused_by_name(body: dict[str, Any], field: str) -> None:
    assert refused(**body).field == field
