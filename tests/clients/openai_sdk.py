"""OpenAI's own package, with strict validation of all that comes back."""

import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI
from openai import BaseModel as OpenAIModel
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.clients.relay import Relay

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
PARIS = "'Paris' has 2102650 inhabitants."
COUNT: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class City(BaseModel):
    name: str
    inhabitants: int


class Score(BaseModel):
    index: int
    score: float


class Scores(OpenAIModel):
    data: list[Score]


def client(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, _strict_response_validation=True)


def test_chat(url: str) -> None:
    answer = client(url).chat.completions.create(model="smollm2", messages=HELLO, max_tokens=16)

    assert (answer.choices[0].message.content or "").strip()
    assert answer.model == "smollm2"


def test_stream(url: str) -> None:
    # The helper raises at an answer that its bound ends, as with OpenAI. The likeliest text is short.
    with client(url).chat.completions.stream(model="smollm2", messages=HELLO, temperature=0) as stream:
        answer = stream.get_final_completion()

    assert (answer.choices[0].message.content or "").strip()


async def test_asynchronous(url: str) -> None:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", _strict_response_validation=True) as asking:
        answer = await asking.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=16)

    assert (answer.choices[0].message.content or "").strip()


def test_parse(url: str) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": PARIS}]
    answer = client(url).chat.completions.parse(model="able", messages=asked, response_format=City)

    assert answer.choices[0].message.parsed == City(name="Paris", inhabitants=2102650)


def test_tools(url: str) -> None:
    answer = client(url).chat.completions.create(
        model="able",
        messages=[{"role": "user", "content": "How many inhabitants has 'Paris'?"}],
        tools=[{"type": "function", "function": {"name": "count", "parameters": COUNT}}],
    )

    calls = answer.choices[0].message.tool_calls or []
    called = [(call.function.name, call.function.arguments) for call in calls if call.type == "function"]
    assert called == [("count", '{"city": "Paris"}')]


def test_responses(url: str) -> None:
    whole = client(url).responses.create(model="smollm2", input="Say hello.", max_output_tokens=16)
    # Without a bound, for the same reason.
    with client(url).responses.stream(model="smollm2", input="Say hello.", temperature=0) as stream:
        streamed = stream.until_done().get_final_response()

    assert whole.output_text.strip()
    assert streamed.output_text.strip()


def test_parsed_responses(url: str) -> None:
    answer = client(url).responses.parse(model="able", input=PARIS, text_format=City)

    assert answer.output_parsed == City(name="Paris", inhabitants=2102650)


def test_completions(url: str) -> None:
    answer = client(url).completions.create(model="smollm2", prompt="Once upon a time", max_tokens=8)

    assert answer.choices[0].text.strip()


def test_embeddings(url: str) -> None:
    # As numbers: strictly, its own types refuse the base64 that it asks for by itself.
    answer = client(url).embeddings.create(model="vectors", input=["One", "Two"], encoding_format="float")

    assert [len(each.embedding) for each in answer.data] == [len(answer.data[0].embedding)] * 2


def test_scores(url: str) -> None:
    """By the way that its page names for endpoints that it has no method for."""
    pairs = {"model": "ranking", "text_1": "who is here", "text_2": ["the cat sat on a mat", "paris"]}
    answer = client(url).post("/score", body=pairs, cast_to=Scores)

    assert [each.index for each in answer.data] == [0, 1]
    assert all(0 < each.score < 1 for each in answer.data)


def test_retries(url: str, relay: Relay) -> None:
    relay.break_next()
    answer = OpenAI(base_url=f"{url}/v1", api_key="none").chat.completions.create(model="smollm2", messages=HELLO)

    assert (answer.choices[0].message.content or "").strip()
    assert relay.is_whole


def test_models_and_errors(url: str) -> None:
    asking = client(url)
    asking.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=8)

    assert "smollm2" in [model.id for model in asking.models.list()]
    with pytest.raises(BadRequestError) as refused:
        asking.chat.completions.create(model="smollm2", messages=HELLO, temperature=3)
    assert refused.value.param == "temperature"
