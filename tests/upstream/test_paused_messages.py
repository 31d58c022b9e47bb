"""A message that paused before its first text: its own format goes on behind it, others are asked without it."""

from typing import Any

import pytest
from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError
from tests.upstream.test_messages_request import HI, a_message, written


@pytest.mark.parametrize("thought", [(), ({"type": "thinking", "thinking": "Hm.", "signature": "s"},)])
def test_a_message_that_paused_before_its_first_text_goes_on_there_and_other_formats_are_asked_without_it(
    thought: tuple[Any, ...],
) -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    paused = {"role": "assistant", "content": [*thought, search, found]}
    request = a_message(HI, paused, tools=[{"type": "web_search_20250305", "name": "web_search"}])

    assert written(request)["messages"] == [HI, paused]
    assert (request.turns, request.messages, request.prefix) == ((HI,), (HI,), "")
    assert {"server_tool_use", "web_search_tool_result"} <= {feature.name for feature in request.features}

    on = replace(request, prefix="It says ")
    told = {"type": "text", "text": "It says"}
    assert written(on)["messages"][-1] == {"role": "assistant", "content": [*thought, search, found, told]}


@pytest.mark.parametrize("content", [[], [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]])
def test_a_beginning_of_an_answer_with_neither_text_nor_a_providers_tools_is_refused(content: list[Any]) -> None:
    with pytest.raises(InvalidRequestError, match="is empty"):
        a_message(HI, {"role": "assistant", "content": content})
