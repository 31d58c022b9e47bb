"""OpenAI's own client against the Responses of the HTTP surface, in one process: what it reads, assembles and raises.

Its strict validation is on: an event or a field that is not as its types say is an error.
"""

from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import Problem
from tests.http.responding import HI, RESPONSES
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort
from tests.http.test_openai_client import client_of
from tests.http.wire import events, send

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"where": "here"}'}}
LOOK: Any = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"where": {"type": "string"}}},
}
CITATION = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "url": "u", "title": "t"}}
LIKELY = {"token": "Hel", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "Hi", "logprob": -1, "bytes": []}]}
ASKED: Any = {
    "model": "m", "input": "Hi", "instructions": "Be brief.", "tools": [LOOK], "metadata": {"a": "b"},
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"}, "tool_choice": {"type": "function", "name": "look"}, "max_output_tokens": 9,
}  # fmt: skip
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Place(BaseModel):
    name: str


def rich() -> ScriptedService:
    """Answers with everything that an answer may have."""
    extras = Extras(
        body={"citations": ["u"]},
        choice={"logprobs": {"content": [LIKELY]}},
        message={"reasoning_content": "hm", "annotations": [CITATION]},
    )
    calls = (CALL, {"id": "d", "type": "custom", "custom": {"name": "write", "input": "abc"}})
    answer = an_answer("Hello", tool_calls=calls, finish_reason="tool_calls", extras=extras, usage=Usage(2, 3))
    return ScriptedService(answer)


def require_rich(response: Any) -> None:
    thought, said, called, wrote = response.output
    assert (thought.type, thought.content[0].text) == ("reasoning", "hm")
    assert (said.content[0].annotations[0].url, said.content[0].logprobs[0].token) == ("u", "Hel")
    assert (called.call_id, called.name, called.arguments) == ("c", "look", '{"where": "here"}')
    assert (wrote.type, wrote.input) == ("custom_tool_call", "abc")
    assert (response.output_text, response.status, response.usage.total_tokens) == ("Hello", "completed", 5)
    assert (response.model, response.metadata) == ("m", {"a": "b"})


async def test_the_client_reads_a_response_with_everything_in_it_and_sends_it_back() -> None:
    service = rich()
    client = client_of(service)

    response = await client.responses.create(**ASKED)
    results: Any = [{"type": f"{sort}_output", "call_id": key, "output": "done"} for sort, key in
                    (("function_call", "c"), ("custom_tool_call", "d"))]  # fmt: skip
    turns: Any = [{"role": "user", "content": "Hi"}, *(item.to_dict() for item in response.output), *results]
    await client.responses.create(**ASKED | {"input": turns})

    require_rich(response)
    said = service.asked[1].turns[2]
    assert (said["content"], said["reasoning_content"], len(said["tool_calls"])) == ("Hello", "hm", 2)
    assert [turn["role"] for turn in service.asked[1].turns] == ["system", "user", "assistant", "tool", "tool"]


async def test_every_event_of_a_stream_is_as_the_clients_types_say() -> None:
    read = events(await send(rich(), RESPONSES, HI | {"stream": True, "reasoning": {"summary": "auto"}}))
    read += events(await send(rich(), RESPONSES, HI | {"stream": True}))
    refused = last_resort(refusal=True)
    read += events(await send(ScriptedService(refused, pieces=(MESSAGE,)), RESPONSES, HI | {"stream": True}))

    told = [EVENT.validate_python(data, strict=True) for _, data in read]

    assert {type(event).__name__ for event in told} >= {
        *("ResponseCreatedEvent", "ResponseInProgressEvent", "ResponseCompletedEvent"),
        *("ResponseOutputItemAddedEvent", "ResponseOutputItemDoneEvent"),
        *("ResponseContentPartAddedEvent", "ResponseContentPartDoneEvent"),
        *("ResponseTextDeltaEvent", "ResponseTextDoneEvent", "ResponseOutputTextAnnotationAddedEvent"),
        *("ResponseReasoningTextDeltaEvent", "ResponseReasoningSummaryTextDeltaEvent"),
        *("ResponseFunctionCallArgumentsDeltaEvent", "ResponseFunctionCallArgumentsDoneEvent"),
        *("ResponseCustomToolCallInputDeltaEvent", "ResponseCustomToolCallInputDoneEvent"),
        *("ResponseRefusalDeltaEvent", "ResponseRefusalDoneEvent"),
    }


async def test_the_clients_helper_assembles_a_stream_with_everything_in_it() -> None:
    asked = {key: value for key, value in ASKED.items() if key != "text"}
    async with client_of(rich()).responses.stream(**asked) as stream:
        pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        response = await stream.get_final_response()

    require_rich(response)
    assert pieces == ["Hel", "lo"]


async def test_the_client_parses_an_answer_into_the_class_that_was_asked_for() -> None:
    service = ScriptedService(an_answer('{"name": "Ann"}', usage=Usage(2, 3)), pieces=('{"name": ', '"Ann"}'))
    asked: Any = {"model": "m", "input": "Hi", "text_format": Place}

    response = await client_of(service).responses.parse(**asked)
    async with client_of(service).responses.stream(**asked) as stream:
        streamed = await stream.get_final_response()

    assert response.output_parsed == streamed.output_parsed == Place(name="Ann")
    assert [asked.response_format.demands_form for asked in service.asked] == [True, True]


async def test_the_client_gets_a_last_resort_as_a_refusal_where_it_parses() -> None:
    service = ScriptedService(last_resort(refusal=True), pieces=(MESSAGE,))

    response = await client_of(service).responses.parse(model="m", input="Hi", text_format=Place)

    (only,) = response.output
    part: Any = only.to_dict()["content"]
    assert (part[0]["refusal"], response.output_parsed, response.model) == (MESSAGE, None, "last_resort")


@pytest.mark.looptime
async def test_the_client_reads_past_signs_of_life() -> None:
    service = ScriptedService(an_answer(usage=Usage(2, 3)), opens_after_s=25.0, pause_s=15.0)

    async with client_of(service).responses.stream(model="m", input="Hi") as stream:
        response = await stream.get_final_response()

    assert response.output_text == "Hello"


@pytest.mark.looptime
async def test_the_client_raises_what_turns_out_to_be_invalid_behind_a_pending_head() -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"), opens_after_s=25.0)

    with pytest.raises(openai.APIError, match="seed was refused by the model"):
        async with client_of(service).responses.stream(model="m", input="Hi") as stream:
            await stream.get_final_response()


async def test_the_client_raises_a_mistake_by_its_status() -> None:
    unnamed: Any = [{"type": "function"}]

    with pytest.raises(openai.BadRequestError, match=r"tools\[0\].name is missing"):
        await client_of(ScriptedService()).responses.create(model="m", input="Hi", tools=unnamed)
