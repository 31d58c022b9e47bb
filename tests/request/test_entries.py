"""A fault in a list says which entry of how many has it, in every format and whoever finds it."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from deployments.policy.problem import InvalidRequestError
from deployments.request.anthropic import messages_request
from deployments.request.body import Limits
from deployments.request.native import from_body
from deployments.request.openai import chat_request, completion_request
from deployments.request.openai_responses import responses_request

LIMITS = Limits(1 << 20, 30.0, 60.0)
GOOD, BAD = {"role": "user", "content": "Hi"}, {"role": "nobody", "content": "Hi"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": 5}]}


def responses(body: bytes, limits: Limits) -> Any:
    return responses_request(orjson.loads(body), limits)


@pytest.mark.parametrize(
    ("read", "body", "field", "told"),
    [
        (chat_request, {"messages": [GOOD, GOOD, BAD, GOOD, GOOD]}, "messages[2].role", "(entry 3 of 5)"),
        (chat_request, {"messages": [GOOD, PARTS, GOOD]}, "messages[1].content[1].text", "(entry 2 of 2)"),
        (chat_request, {"messages": [GOOD], "tools": [{"type": "function"}]}, "tools[0].function", "(entry 1 of 1)"),
        (completion_request, {"prompt": ["a", 5]}, "prompt[1]", "(entry 2 of 2)"),
        (messages_request, {"messages": [GOOD, BAD]}, "messages[1].role", "(entry 2 of 2)"),
        (responses, {"input": [GOOD, BAD, GOOD]}, "input[1].role", "(entry 2 of 3)"),
        (from_body, {"messages": [GOOD, BAD, GOOD]}, "messages[1].role", "(entry 2 of 3)"),
        (chat_request, {"messages": [GOOD], "temperature": 3}, "temperature", "is out of range"),
    ],
)
def test_a_fault_in_a_list_tells_the_entry_and_their_number(
    read: Callable[..., Any], body: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read(orjson.dumps(body), LIMITS)

    problem = refused.value.problem
    assert (problem.field, problem.message.endswith(told)) == (field, True), problem
    assert problem.message.count("(entry") <= 1


def test_a_body_with_a_byte_order_mark_is_counted_too() -> None:
    with pytest.raises(InvalidRequestError, match=r"entry 1 of 1"):
        chat_request(b"\xef\xbb\xbf" + orjson.dumps({"messages": [BAD]}), LIMITS)
