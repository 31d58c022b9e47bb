"""Pydantic AI, with its default output (a tool)."""

from typing import Literal

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

BRIEF = ModelSettings(max_tokens=64, temperature=0)


class City(BaseModel):
    name: str
    inhabitants: int


class Wall(BaseModel):
    """Short: a model as small as SmolLM2 may not end a text that it can go on with."""

    at: Literal["door", "wall"]


def model(url: str, name: str) -> OpenAIChatModel:
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=f"{url}/v1", api_key="none"))


def test_text(url: str) -> None:
    answer = Agent(model(url, "smollm2"), model_settings=BRIEF).run_sync("Say hello.")

    assert answer.output.strip()
    assert answer.usage.output_tokens > 0


async def test_stream(url: str) -> None:
    async with Agent(model(url, "smollm2"), model_settings=BRIEF).run_stream("Say hello.") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]

    assert "".join(pieces).strip()
    assert len(pieces) > 1


def test_output(url: str) -> None:
    small = Agent(model(url, "smollm2"), output_type=Wall, model_settings=BRIEF).run_sync("Look at the door.")
    able = Agent(model(url, "able"), output_type=City).run_sync("'Paris' has 2102650 inhabitants.")

    assert small.output.at in {"door", "wall"}
    assert able.output == City(name="Paris", inhabitants=2102650)


async def test_streamed_output(url: str) -> None:
    async with Agent(model(url, "able"), output_type=City).run_stream("'Paris' has 2102650 inhabitants.") as stream:
        output = await stream.get_output()

    assert output == City(name="Paris", inhabitants=2102650)


def test_tools(url: str) -> None:
    agent = Agent(model(url, "able"), output_type=City)
    asked = []

    @agent.tool_plain
    def count(city: str) -> int:
        """Count the inhabitants of a city."""
        asked.append(city)
        return 2102650

    answer = agent.run_sync("How many inhabitants has 'Paris'?")

    assert (asked, answer.output.name) == (["Paris"], "Paris")
