"""OpenAI's own client against the HTTP surface, in one process: what it checks, assembles and raises.

Its strict validation is on: what it does not expect in a place where it expects something is an error.
"""

import asyncio
from typing import Any

import openai
import pytest
from httpx2 import ASGITransport, AsyncClient
from openai import AsyncOpenAI
from pydantic import BaseModel

from deployments.http.asgi import build_asgi
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import Problem
from tests.http.service import ScriptedService, an_answer

TOKEN = {"token": "Hel", "logprob": -0.1, "bytes": None, "top_logprobs": []}
OTHER = {"index": 1, "message": {"role": "assistant", "content": "Hi!", "refusal": None}, "finish_reason": "stop"}
EXTRAS = Extras(
    body={"system_fingerprint": "fp", "service_tier": "flex", "citations": ["u"]},
    choice={"logprobs": {"content": [TOKEN], "refusal": None}},
    message={"reasoning_content": "hm"},
    usage={"total_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 1}},
    others=(OTHER,),
)
HELLO: Any = [
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:,"}}]}
]
ASKED: dict[str, Any] = {"model": "m", "messages": HELLO, "n": 2, "logprobs": True, "extra_body": {"mood": 5}}


class Person(BaseModel):
    name: str


def client_of(service: ScriptedService) -> AsyncOpenAI:
    transport = ASGITransport(build_asgi(service))
    return AsyncOpenAI(
        api_key="none",
        base_url="http://test/v1",
        max_retries=0,
        http_client=AsyncClient(transport=transport, base_url="http://test"),
        _strict_response_validation=True,
    )


def rich() -> ScriptedService:
    return ScriptedService(an_answer(extras=EXTRAS, usage=Usage(2, 3)))


async def test_the_client_reads_a_completion_with_everything_in_it() -> None:
    service = rich()

    answer: Any = await client_of(service).chat.completions.create(**ASKED)

    first, second = answer.choices
    assert (first.message.content, first.message.reasoning_content) == ("Hello", "hm")
    assert (first.logprobs.content[0].token, second.message.content, second.finish_reason) == ("Hel", "Hi!", "stop")
    assert (answer.system_fingerprint, answer.service_tier, answer.citations) == ("fp", "flex", ["u"])
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    assert service.asked[0].passthrough == {"n": 2, "logprobs": True, "mood": 5}
    assert service.asked[0].turns == tuple(HELLO)


async def test_the_clients_helper_assembles_a_stream_with_everything_in_it() -> None:
    options: Any = {"include_usage": True}
    async with client_of(rich()).chat.completions.stream(**ASKED, stream_options=options) as stream:
        answer: Any = await stream.get_final_completion()

    first, second = answer.choices
    assert (first.message.content, first.message.reasoning_content, first.finish_reason) == ("Hello", "hm", "stop")
    assert [token.token for token in first.logprobs.content] == ["Hel"]
    assert (second.message.content, second.finish_reason) == ("Hi!", "stop")
    assert (answer.usage.total_tokens, answer.usage.completion_tokens_details.reasoning_tokens) == (5, 1)
    assert answer.system_fingerprint == "fp"


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_client_parses_an_answer_into_the_class_that_was_asked_for(*, streamed: bool) -> None:
    service = ScriptedService(an_answer('{"name": "Ann"}', usage=Usage(2, 3)), pieces=('{"name": ', '"Ann"}'))
    chats = client_of(service).chat.completions
    if streamed:
        async with chats.stream(model="m", messages=HELLO, response_format=Person) as stream:
            parsed = (await stream.get_final_completion()).choices[0].message.parsed
    else:
        parsed = (await chats.parse(model="m", messages=HELLO, response_format=Person)).choices[0].message.parsed

    assert parsed == Person(name="Ann")


@pytest.mark.looptime
async def test_the_client_tries_again_when_it_is_told_to() -> None:
    """A router that is full, where the policy has 503 for the last resort: the client waits for its `retry-after`."""
    service = ScriptedService(an_answer(usage=Usage(2, 3)), is_full=True, status=503)
    client = client_of(service).with_options(max_retries=2)
    asyncio.get_running_loop().call_later(1.5, setattr, service, "is_full", False)

    answer = await client.chat.completions.create(**ASKED)

    assert answer.choices[0].message.content == "Hello"
    assert asyncio.get_running_loop().time() >= 2.0


@pytest.mark.looptime
async def test_the_client_reads_past_signs_of_life() -> None:
    service = ScriptedService(an_answer(usage=Usage(2, 3)), opens_after_s=25.0, pause_s=15.0)

    chunks = [chunk async for chunk in await client_of(service).chat.completions.create(**ASKED, stream=True)]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"


@pytest.mark.looptime
async def test_the_client_raises_what_turns_out_to_be_invalid_behind_a_pending_head() -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"), opens_after_s=25.0)

    with pytest.raises(openai.APIError, match="seed was refused by the model") as caught:
        async for _ in await client_of(service).chat.completions.create(**ASKED, stream=True):
            pass

    assert caught.value.param == "seed"
