"""Instructor, in its default mode (a tool) and in that of JSON schemas."""

from typing import Literal

import instructor
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str
    inhabitants: int


class Wall(BaseModel):
    """Short: a model as small as SmolLM2 may not end a text that it can go on with."""

    at: Literal["door", "wall"]


ASK = [{"role": "user", "content": "'Paris' has 2102650 inhabitants."}]
PARIS = City(name="Paris", inhabitants=2102650)


def client(url: str, mode: instructor.Mode = instructor.Mode.TOOLS) -> instructor.Instructor:
    return instructor.from_openai(OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), mode=mode)


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA], ids=["tools", "json_schema"])
def test_create(url: str, mode: instructor.Mode) -> None:
    look = [{"role": "user", "content": "Look at the door."}]

    small = client(url, mode).chat.completions.create(
        model="smollm2", messages=look, response_model=Wall, max_retries=0, max_tokens=64
    )
    able = client(url, mode).chat.completions.create(model="able", messages=ASK, response_model=City, max_retries=0)

    assert small.at in {"door", "wall"}
    assert able.model_dump() == PARIS.model_dump()


def test_create_partial(url: str) -> None:
    parts = list(
        client(url).chat.completions.create_partial(model="able", messages=ASK, response_model=City, max_retries=0)
    )

    assert parts[-1].model_dump() == PARIS.model_dump()


def test_create_iterable(url: str) -> None:
    cities = client(url).chat.completions.create_iterable(
        model="able", messages=ASK, response_model=City, max_retries=0
    )

    assert [city.model_dump() for city in cities] == [PARIS.model_dump()]


async def test_asynchronous(url: str) -> None:
    asynchronous = instructor.from_openai(AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0))

    answer = await asynchronous.chat.completions.create(model="able", messages=ASK, response_model=City, max_retries=0)

    assert answer.model_dump() == PARIS.model_dump()
