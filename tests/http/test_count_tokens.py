"""The tokens of a prompt in Anthropic's format: counted by the model's own tokenizer, else estimated and marked so."""

from typing import Any

import pytest

from deployments.formats.huggingface import HuggingFaceModel
from deployments.generation.transformers import TransformersGenerator
from deployments.policy.outcome import Failed
from deployments.router.router import Router
from deployments.settings import GenerationDefaults
from tests.generation.conftest import tiny as tiny  # noqa: PLC0414 - a fixture
from tests.http.service import ScriptedService
from tests.http.test_messages import LOOK
from tests.http.test_tokens import Answers, a_router, replica
from tests.http.wire import MESSAGES, send

PATH = "/v1/messages/count_tokens"
HELLO = {"messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture
async def router(tiny: TransformersGenerator) -> Router:
    """Routes to a model that counts, and to some that do not."""
    writes = HuggingFaceModel(tiny, GenerationDefaults(), {"name": "writes"})
    return await a_router({"writes": replica(writes), "plain": replica(Answers()), "lost": Failed("its replica died")})


async def test_a_model_of_our_own_counts_the_prompt_as_it_reads_it(router: Router) -> None:
    counted = (await send(router, PATH, HELLO | {"model": "writes"})).json()
    tokens = (await send(router, "/tokenize", HELLO | {"model": "writes"})).json()
    longer = (await send(router, PATH, HELLO | {"model": "writes", "system": "Be brief."})).json()

    assert counted == {"input_tokens": tokens["count"], "neverblank": {"estimated": False}}
    assert longer["input_tokens"] > counted["input_tokens"]


@pytest.mark.parametrize("model", ["far", "plain", "lost", "nobody"])
async def test_where_no_model_counts_the_tokens_are_estimated_and_marked_so(router: Router, model: str) -> None:
    plain = (await send(router, PATH, HELLO | {"model": model})).json()
    with_tools = (await send(router, PATH, HELLO | {"model": model, "tools": [LOOK]})).json()

    assert plain == {"input_tokens": 3, "neverblank": {"estimated": True}}
    assert with_tools["input_tokens"] > 10


async def test_a_count_costs_nobody_an_error_of_ours(events: list[dict[str, Any]]) -> None:
    response = await send(ScriptedService(), PATH, MESSAGES)

    assert response.json() == {"input_tokens": 1, "neverblank": {"estimated": True}}
    assert [line["where"] for line in events if line["level"] == "error"] == ["http"]


async def test_a_service_that_is_full_counts_nothing() -> None:
    response = await send(ScriptedService(is_full=True), PATH, MESSAGES)

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": [{"type": [], "name": "a", "input_schema": {}}]}, "tools[0].type"),
        ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": []}}, "tool_choice.name"),
    ],
)
async def test_a_tool_of_an_odd_type_is_the_callers_fault(body: dict[str, Any], field: str) -> None:
    response = await send(ScriptedService(), PATH, HELLO | body)

    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


async def test_a_prompt_that_is_none_is_not_counted(router: Router) -> None:
    response = await send(router, PATH, {"messages": []})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")
