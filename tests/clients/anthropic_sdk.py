"""Anthropic's own package, with strict validation of all that comes back."""

import pytest
from anthropic import Anthropic, AsyncAnthropic, BadRequestError, beta_tool
from anthropic.types import MessageParam
from anthropic.types.beta import BetaMessageParam

HELLO: list[MessageParam] = [{"role": "user", "content": "Say hello."}]


def client(url: str) -> Anthropic:
    return Anthropic(base_url=url, api_key="none", max_retries=0, _strict_response_validation=True)


def test_message(url: str) -> None:
    answer = client(url).messages.create(model="smollm2", messages=HELLO, max_tokens=16)

    assert answer.content[0].type == "text"
    assert answer.content[0].text.strip()
    assert answer.usage.output_tokens > 0


def test_stream(url: str) -> None:
    with client(url).messages.stream(model="smollm2", messages=HELLO, max_tokens=16) as stream:
        pieces = list(stream.text_stream)
        answer = stream.get_final_message()

    assert "".join(pieces).strip()
    assert answer.model == "smollm2"


async def test_asynchronous(url: str) -> None:
    async with AsyncAnthropic(base_url=url, api_key="none", _strict_response_validation=True) as asking:
        answer = await asking.messages.create(model="smollm2", messages=HELLO, max_tokens=16)

    assert answer.content


def test_count_tokens_and_errors(url: str) -> None:
    asking = client(url)
    asking.messages.create(model="smollm2", messages=HELLO, max_tokens=8)
    short, long = (
        asking.messages.count_tokens(model="smollm2", messages=[{"role": "user", "content": "Hello. " * times}])
        for times in (1, 20)
    )

    assert 0 < short.input_tokens < long.input_tokens
    with pytest.raises(BadRequestError):
        asking.messages.create(model="smollm2", messages=HELLO, max_tokens=0)


def test_tool_runner(url: str) -> None:
    asked: list[str] = []

    @beta_tool
    def count(city: str) -> str:
        """Count the inhabitants of a city."""
        asked.append(city)
        return "2102650"

    messages: list[BetaMessageParam] = [{"role": "user", "content": "How many inhabitants has 'Paris'?"}]
    runner = client(url).beta.messages.tool_runner(model="able", messages=messages, max_tokens=64, tools=[count])

    assert runner.until_done().content
    assert asked == ["Paris"]
