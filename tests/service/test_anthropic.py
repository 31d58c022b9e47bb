"""Anthropic's API as its own client sees it, on the real service with real models behind it."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.service.models import WORDS
from tests.service.service import Service
from tests.upstream.exchange import TEXT

HELLO: Any = [{"role": "user", "content": "Say hello."}]
LOOK: Any = {"name": "look", "description": "Looks somewhere.", "input_schema": {"type": "object", "properties": {}}}
LOOK_AT = LOOK | {
    "input_schema": {
        "type": "object",
        "properties": {"at": {"enum": ["door", "wall"]}},
        "required": ["at"],
        "additionalProperties": False,
    }
}
"""Whose call is short: a model as small as SmolLM2 may not end an object that it can go on with."""

PRIMARY_ONLY: Any = {"tiers": ["primary"]}


@pytest.fixture
def client(service: Service) -> Anthropic:
    """The official client; it raises for a response that is not as its types say, and tries nothing twice."""
    return Anthropic(
        base_url=f"http://127.0.0.1:{service.port}",
        api_key="none",
        max_retries=0,
        timeout=60,
        _strict_response_validation=True,
    )


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# --- messages ---------------------------------------------------------------------------------------


def test_a_message_is_answered_by_the_real_model_with_true_counts(client: Anthropic) -> None:
    message = client.messages.create(model="smollm2", messages=HELLO, max_tokens=8, system="Be brief.")

    assert (message.model, message.role) == ("smollm2", "assistant")
    assert text_of(message).strip()
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert 1 <= message.usage.output_tokens <= 8
    assert message.usage.input_tokens > 5
    told: Any = message.model_extra
    assert told["neverblank"]["served_by"] == "primary"


def test_a_streamed_message_is_assembled_by_the_clients_helper(client: Anthropic) -> None:
    with client.messages.stream(model="smollm2", messages=HELLO, max_tokens=8) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()

    assert "".join(pieces) == text_of(message)
    assert text_of(message).strip()
    assert (message.model, len(message.content)) == ("smollm2", 1)
    assert message.usage.output_tokens >= 1


def test_a_trailing_assistants_message_is_carried_on_with(client: Anthropic) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "The quick brown"}]

    message = client.messages.create(model="healthy", messages=begun, max_tokens=64)

    assert text_of(message) == TEXT.removeprefix("The quick brown")


def test_the_model_named_is_the_one_that_answered(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.create(model="status-500", messages=HELLO, max_tokens=8)

    assert raw.parse().model == "backup"
    assert (raw.headers["x-neverblank-served-by"], raw.headers["x-neverblank-degraded"]) == ("backup", "true")


def test_a_stream_that_another_model_finishes_is_one_block(client: Anthropic) -> None:
    tell: Any = [{"role": "user", "content": "Tell me."}]
    with client.messages.stream(model="narrator", messages=tell, max_tokens=64, extra_body=PRIMARY_ONLY) as stream:
        whole = stream.get_final_message()
    with client.messages.stream(model="reset-after-3", messages=HELLO, max_tokens=8) as stream:
        events = list(stream)
        broken = stream.get_final_message()

    assert text_of(whole) == "".join(WORDS)
    assert (len(broken.content), broken.stop_reason in {"end_turn", "max_tokens"}) == (1, True)
    told: Any = next(event for event in events if event.type == "message_delta").model_extra
    assert (told["neverblank"]["model"], told["neverblank"]["degraded"]) == ("backup", True)


# --- tools ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["smollm2", "calls-a-tool"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_is_demanded_is_called_and_its_result_is_answered(
    client: Anthropic, model: str, *, stream: bool
) -> None:
    forced: Any = {"type": "tool", "name": "look"}
    tool = LOOK_AT if model == "smollm2" else LOOK
    asked: Any = {"model": model, "messages": HELLO, "max_tokens": 64, "tools": [tool], "tool_choice": forced}
    if stream:
        with client.messages.stream(**asked) as told:
            message = told.get_final_message()
    else:
        message = client.messages.create(**asked)
    (call,) = [block for block in message.content if block.type == "tool_use"]
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "A door."}]}
    turns: Any = [*HELLO, message.to_param(), result]
    after = client.messages.create(model="smollm2", messages=turns, max_tokens=16)

    assert (message.model, message.stop_reason, call.name) == (model, "tool_use", "look")
    assert (after.model, bool(text_of(after).strip())) == ("smollm2", True)


@pytest.mark.parametrize("stream", [False, True])
def test_where_a_tool_is_demanded_the_last_resort_refuses_in_words(client: Anthropic, *, stream: bool) -> None:
    asked: Any = {"model": "status-500", "messages": HELLO, "max_tokens": 8, "extra_body": PRIMARY_ONLY}
    asked |= {"tools": [LOOK], "tool_choice": {"type": "any"}}
    if stream:
        with client.messages.stream(**asked) as told:
            message = told.get_final_message()
    else:
        message = client.messages.create(**asked)

    assert (message.model, message.stop_reason) == ("last_resort", "refusal")
    assert text_of(message).strip()
    assert not any(block.type == "tool_use" for block in message.content)


# --- counts and errors --------------------------------------------------------------------------------


def test_the_tokens_of_a_prompt_are_counted_as_its_model_reads_them(client: Anthropic) -> None:
    asked: Any = {"model": "smollm2", "messages": HELLO, "system": "Be brief.", "tools": [LOOK]}

    count = client.messages.count_tokens(**asked)
    message = client.messages.create(**asked, max_tokens=4)

    told: Any = count.model_extra
    assert told["neverblank"]["estimated"] is False
    assert count.input_tokens == message.usage.input_tokens


def test_a_mistake_is_refused_by_its_place(client: Anthropic) -> None:
    picture: Any = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}

    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="smollm2", messages=[{"role": "user", "content": [picture]}], max_tokens=8)

    body: Any = caught.value.body
    assert (body["error"]["type"], body["error"]["param"]) == ("invalid_request_error", "messages[0].content[0]")


def test_what_an_upstream_calls_invalid_of_a_translated_request_is_left_to_the_next_model(client: Anthropic) -> None:
    message = client.messages.create(model="status-400", messages=HELLO, max_tokens=8)

    told: Any = message.model_extra
    (refused, answered) = told["neverblank"]["attempts"]
    assert (refused["model"], "temperature has to be 1" in refused["reason"]) == ("status-400", True)
    assert (answered["model"], message.model, bool(text_of(message).strip())) == ("backup", "backup", True)
