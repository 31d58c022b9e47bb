"""OpenAI's agents, over their default: the Responses API."""

from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

set_tracing_disabled(True)


class City(BaseModel):
    name: str
    inhabitants: int


@function_tool
def count(city: str) -> int:
    """Count the inhabitants of a city."""
    return len(city)


def model(url: str, name: str) -> OpenAIResponsesModel:
    return OpenAIResponsesModel(name, AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0))


async def test_text(url: str) -> None:
    # Without `max_tokens`: the agents raise at a response that is incomplete, as with OpenAI.
    agent = Agent(name="a", instructions="Be brief.", model=model(url, "smollm2"))

    assert (await Runner.run(agent, "Say hello.")).final_output.strip()


async def test_stream(url: str) -> None:
    agent = Agent(name="a", model=model(url, "smollm2"))
    running = Runner.run_streamed(agent, "Say hello.")
    pieces = [
        event.data.delta
        async for event in running.stream_events()
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]

    assert "".join(pieces) == running.final_output
    assert running.final_output.strip()


async def test_output(url: str) -> None:
    agent = Agent(name="a", model=model(url, "able"), output_type=City)

    answer = await Runner.run(agent, "'Paris' has 2102650 inhabitants.")

    assert answer.final_output == City(name="Paris", inhabitants=2102650)


async def test_tools(url: str) -> None:
    agent = Agent(name="a", model=model(url, "able"), tools=[count])

    answer = await Runner.run(agent, "How many inhabitants has 'Paris'?")

    assert [item.type for item in answer.new_items] == [
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
    ]
    assert answer.new_items[1].output == len("Paris")


async def test_handoff(url: str) -> None:
    other = Agent(name="other", model=model(url, "able"))
    agent = Agent(name="a", model=model(url, "able"), handoffs=[other])

    assert (await Runner.run(agent, "Hand over.")).last_agent is other
