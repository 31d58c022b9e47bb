"""OpenAI's Responses as its own client sees them, on the real service with real models behind it."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.service.models import WORDS
from tests.service.service import Service
from tests.service.test_anthropic import LOOK_AT, PRIMARY_ONLY

SAY: Any = {"input": "Say hello.", "max_output_tokens": 8}
LOOK: Any = {"type": "function", "name": "look", "parameters": LOOK_AT["input_schema"]}
FORCED: Any = {"tools": [LOOK], "tool_choice": "required"}


@pytest.fixture
def client(service: Service) -> OpenAI:
    """The official client; it raises for a response that is not as its types say, and tries nothing twice."""
    return OpenAI(
        base_url=f"http://127.0.0.1:{service.port}/v1",
        api_key="none",
        max_retries=0,
        timeout=60,
        _strict_response_validation=True,
    )


def ask(client: OpenAI, *, stream: bool, **body: Any) -> Any:
    if not stream:
        return client.responses.create(**body)
    *_, last = client.responses.create(**body, stream=True)
    return last.response


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_comes_from_the_real_model_with_true_counts(client: OpenAI, *, stream: bool) -> None:
    response = ask(client, stream=stream, model="smollm2", instructions="Be brief.", **SAY)

    assert (response.model, response.neverblank["served_by"]) == ("smollm2", "primary")
    assert response.output_text.strip()
    assert (1 <= response.usage.output_tokens <= 8, response.usage.input_tokens > 5) == (True, True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_that_is_demanded_is_called_and_its_result_is_answered(client: OpenAI, *, stream: bool) -> None:
    turn: Any = {"role": "user", "content": "Look at the door."}
    called = ask(client, stream=stream, model="smollm2", input=[turn], max_output_tokens=64, **FORCED)
    (call,) = called.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "It is open."}
    after = ask(client, stream=stream, model="smollm2", input=[turn, call.to_dict(), result], max_output_tokens=16)

    assert (called.model, call.type, call.name) == ("smollm2", "function_call", "look")
    assert (after.model, bool(after.output_text.strip())) == ("smollm2", True)


def test_a_stream_that_another_replica_finishes_is_one_item(client: OpenAI) -> None:
    asked: Any = {"model": "narrator", "input": "Tell me.", "extra_body": PRIMARY_ONLY}

    response = ask(client, stream=True, **asked)

    assert (response.output_text, len(response.output), response.status) == ("".join(WORDS), 1, "completed")


@pytest.mark.parametrize("stream", [False, True])
def test_where_a_function_is_demanded_the_last_resort_is_a_refusal(client: OpenAI, *, stream: bool) -> None:
    response = ask(client, stream=stream, model="status-500", extra_body=PRIMARY_ONLY, **SAY, **FORCED)

    (said,) = response.output
    assert (response.model, response.status, said.content[0].type) == ("last_resort", "completed", "refusal")


def test_a_mistake_is_refused_by_its_place(client: OpenAI) -> None:
    picture: Any = {"type": "input_image", "image_url": "https://example.com/a.png"}

    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="smollm2", input=[{"role": "user", "content": [picture]}])

    assert caught.value.param == "input[0].content[0]"
