"""Anthropic's own client against the HTTP surface, in one process: what it checks, assembles and raises.

Its strict validation is on: what it does not expect in a place where it expects something is an error.
"""

from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic, beta_async_tool
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel

from deployments.http.asgi import build_asgi
from deployments.http.service import Service
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import Problem
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"where": "here"}'}}
LOOK: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
HELLO: Any = [{"role": "user", "content": "Hi"}]
ASKED: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": HELLO}


class Person(BaseModel):
    name: str


def anthropic_client_of(service: Service) -> AsyncAnthropic:
    transport = ASGITransport(build_asgi(service))
    return AsyncAnthropic(
        api_key="none",
        base_url="http://test",
        max_retries=0,
        http_client=AsyncClient(transport=transport, base_url="http://test"),
        _strict_response_validation=True,
    )


def rich() -> ScriptedService:
    """Answers with reasoning, a text and a tool call."""
    extras = Extras(message={"reasoning_content": "hm"}, body={"citations": ["u"]})
    answer = an_answer("Hello", tool_calls=(CALL,), finish_reason="tool_calls", extras=extras, usage=Usage(2, 3))
    return ScriptedService(answer)


def require_rich(message: Any) -> None:
    thought, said, called = message.content
    assert (thought.type, thought.thinking, said.text) == ("thinking", "hm", "Hello")
    assert (called.type, called.id, called.name, called.input) == ("tool_use", "c", "look", {"where": "here"})
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 2, 3)
    assert message.model == "m"


async def test_the_client_reads_a_message_with_everything_in_it_and_sends_it_back() -> None:
    service = rich()
    client = anthropic_client_of(service)

    message = await client.messages.create(**ASKED, tools=[LOOK], system="Be brief.")
    result: Any = {"type": "tool_result", "tool_use_id": "c", "content": "a door"}
    again: Any = [*HELLO, message.to_param(), {"role": "user", "content": [result]}]
    await client.messages.create(**ASKED | {"messages": again}, tools=[LOOK])

    require_rich(message)
    turn = service.asked[1].turns[1]
    assert (turn["reasoning_content"], turn["content"], turn["tool_calls"][0]["id"]) == ("hm", "Hello", "c")
    assert service.asked[1].features == ()


async def test_the_clients_helper_assembles_a_stream_with_everything_in_it() -> None:
    async with anthropic_client_of(rich()).messages.stream(**ASKED, tools=[LOOK]) as stream:
        kinds = [event.type async for event in stream]
        message = await stream.get_final_message()

    require_rich(message)
    assert kinds.count("text") == 2
    assert {"thinking", "input_json"} < set(kinds)


async def test_the_client_parses_an_answer_into_the_class_that_was_asked_for() -> None:
    service = ScriptedService(an_answer('{"name": "Ann"}', usage=Usage(2, 3)), pieces=('{"name": ', '"Ann"}'))

    message = await anthropic_client_of(service).messages.parse(**ASKED, output_format=Person)

    assert message.parsed_output == Person(name="Ann")
    assert service.asked[0].response_format.demands_form


async def test_the_client_gets_a_last_resort_as_a_message_that_says_so() -> None:
    service = ScriptedService(last_resort(refusal=True), pieces=(MESSAGE,))
    forced: Any = {"type": "any"}

    async with anthropic_client_of(service).messages.stream(**ASKED, tools=[LOOK], tool_choice=forced) as stream:
        message = await stream.get_final_message()

    assert (message.model, message.stop_reason) == ("last_resort", "refusal")
    assert message.stop_details is not None
    assert message.stop_details.explanation == MESSAGE


async def test_the_client_runs_tools_without_a_conversation_that_the_server_holds() -> None:
    service = ScriptedService(an_answer("Done", usage=Usage(2, 3)))

    @beta_async_tool
    async def look(where: str) -> str:
        """Look somewhere."""
        return "a door"

    runner = anthropic_client_of(service).beta.messages.tool_runner(**ASKED, tools=[look])
    message = await runner.until_done()

    assert message.content[0].type == "text"
    assert [asked.features for asked in service.asked] == [()]


async def test_the_client_counts_tokens() -> None:
    count = await anthropic_client_of(ScriptedService()).messages.count_tokens(model="m", messages=HELLO)

    assert count.input_tokens == 1


async def test_the_client_lists_models_and_finds_one() -> None:
    client = anthropic_client_of(ScriptedService())

    listed = [model async for model in client.models.list()]
    found = await client.models.retrieve("m")

    assert listed == [found]
    assert (found.id, found.display_name, found.type) == ("m", "m", "model")
    with pytest.raises(anthropic.NotFoundError, match="model does not exist"):
        await client.models.retrieve("nobody")


@pytest.mark.looptime
async def test_the_client_reads_past_signs_of_life() -> None:
    service = ScriptedService(an_answer(usage=Usage(2, 3)), opens_after_s=25.0, pause_s=15.0)

    async with anthropic_client_of(service).messages.stream(**ASKED) as stream:
        text = await stream.get_final_text()

    assert text == "Hello"


@pytest.mark.looptime
async def test_the_client_raises_what_turns_out_to_be_invalid_behind_a_pending_head() -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"), opens_after_s=25.0)

    with pytest.raises(anthropic.APIStatusError, match="seed was refused by the model"):
        async with anthropic_client_of(service).messages.stream(**ASKED) as stream:
            await stream.get_final_message()


async def test_the_client_raises_a_mistake_by_its_status() -> None:
    without_a_schema: Any = {"name": "look"}

    with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\].input_schema is missing"):
        await anthropic_client_of(ScriptedService()).messages.create(**ASKED, tools=[without_a_schema])
