"""What the official clients have beside plain calls: forms, streams that are assembled, loops of tools, embeddings."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, beta_tool
from openai import OpenAI
from pydantic import BaseModel

from tests.clients.relay import Relay
from tests.service.service import Service


class City(BaseModel):
    name: str
    inhabitants: int


PARIS = City(name="Paris", inhabitants=2102650)
ABOUT: Any = [{"role": "user", "content": "'Paris' has 2102650 inhabitants."}]
ASK: Any = [{"role": "user", "content": "How many inhabitants has 'Paris'?"}]


@pytest.fixture
def relay(service: Service) -> Iterator[Relay]:
    """The way to the service; a test that passes on the answer of another model than it asks is a failed one."""
    running = Relay(service.port)
    yield running
    running.close()
    running.require_models()


@pytest.fixture
def client(relay: Relay) -> OpenAI:
    return OpenAI(base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True)


@pytest.fixture
def claude(relay: Relay) -> Anthropic:
    return Anthropic(base_url=relay.url, api_key="none", max_retries=0, _strict_response_validation=True)


def test_openais_client_parses_an_answer_whole_and_streamed(client: OpenAI) -> None:
    whole = client.chat.completions.parse(model="able", messages=ABOUT, response_format=City)
    with client.chat.completions.stream(model="able", messages=ABOUT, response_format=City) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_completion()

    assert (whole.choices[0].message.parsed, streamed.choices[0].message.parsed) == (PARIS, PARIS)
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)


def test_openais_client_assembles_a_stream_of_the_real_model(client: OpenAI) -> None:
    usage: Any = {"include_usage": True}
    asked: Any = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64}
    # One sentence: the client raises where the limit has ended an answer.
    with client.chat.completions.stream(**asked, stop=[".", "!", "?", "\n"], stream_options=usage) as stream:
        answer = stream.get_final_completion()

    assert (answer.choices[0].message.content or "").strip()
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_openais_client_gets_the_same_vectors_as_floats_and_in_base64(client: OpenAI) -> None:
    texts = ["One", "Two words"]

    lenient = client.with_options(_extra_kwargs={"_strict_response_validation": False})  # its types forbid its base64
    packed = lenient.embeddings.create(model="vectors", input=texts)
    plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")

    assert [each.embedding for each in packed.data] == [pytest.approx(each.embedding) for each in plain.data]
    assert packed.usage.prompt_tokens > 0


def test_anthropics_client_parses_an_answer(claude: Anthropic) -> None:
    message = claude.messages.parse(model="able", max_tokens=64, messages=ABOUT, output_format=City)

    assert message.parsed_output == PARIS


def test_anthropics_client_runs_tools_until_there_is_an_answer(claude: Anthropic) -> None:
    asked = []

    @beta_tool
    def count(city: str) -> str:
        """Count the inhabitants of a city.

        Args:
            city: The city.
        """
        asked.append(city)
        return "2102650"

    message = claude.beta.messages.tool_runner(model="able", max_tokens=64, tools=[count], messages=ASK).until_done()

    assert asked == ["Paris"]
    assert message.stop_reason == "end_turn"
    assert message.content[0].type == "text"
