"""Responses that are kept: found, deleted and gone on with, as OpenAI's own client asks for that."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from deployments.http.asgi import build_asgi
from deployments.http.kept_responses import MOST_REFERRED
from deployments.policy.outcome import Usage
from deployments.request import TIMEOUT_HEADER
from deployments.storage.keeper import STORE_ANSWERS_S, ResponseKeeper
from deployments.storage.store import StoreUnreachableError
from tests.http.responding import FORCING, HI, RESPONSES
from tests.http.service import MESSAGE, ScriptedService, an_answer
from tests.http.test_openai_client import client_of
from tests.http.wire import CALL, events, send
from tests.storage.test_keeper import Shelf, keeper_of

ASKED: Any = {"model": "m", "input": "Hi", "instructions": "Be brief."}


def keeping(shelf: Shelf | None = None, **given: Any) -> ScriptedService:
    answer = an_answer(usage=Usage(2, 3), **given)
    return ScriptedService(answer, keeper=keeper_of(shelf or Shelf()))


async def ask(service: ScriptedService, *, stream: bool, **body: Any) -> Any:
    client: Any = client_of(service)
    if not stream:
        return await client.responses.create(**ASKED | body)
    told = [event async for event in await client.responses.create(**ASKED | body, stream=True)]
    return told[-1].response


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_found_as_it_was_given_and_deleted(*, stream: bool) -> None:
    service = keeping()
    client = client_of(service)

    given = await ask(service, stream=stream)
    found = await client.responses.retrieve(given.id)
    await client.responses.delete(given.id)

    assert found == given
    assert (given.store, given.neverblank["stored"]) == (True, True)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(given.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.delete(given.id)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_with_what_went_before_and_instructions_of_its_own(*, stream: bool) -> None:
    service = keeping(tool_calls=(CALL,), finish_reason="tool_calls", result="Look:")
    result: Any = [{"type": "function_call_output", "call_id": "c", "output": "a door"}]

    first = await ask(service, stream=stream)
    service.given = an_answer(usage=Usage(2, 3))
    second = await ask(service, stream=stream, input=result, previous_response_id=first.id, instructions=None)
    await ask(service, stream=stream, input="And?", previous_response_id=second.id)

    assert second.previous_response_id == first.id
    assert [turn["role"] for turn in service.asked[1].turns] == ["user", "assistant", "tool"]
    turns = service.asked[2].turns
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert (turns[2]["tool_calls"][0]["id"], turns[3]["content"], turns[5]["content"]) == ("c", "a door", "And?")


async def test_items_may_be_referred_to_as_the_ai_sdk_does() -> None:
    service = keeping(tool_calls=(CALL,), finish_reason="tool_calls", result="Look:")
    first = await ask(service, stream=False)
    references = [{"type": "item_reference", "id": item.id} for item in first.output]
    result = {"type": "function_call_output", "call_id": "c", "output": "a door"}

    await ask(service, stream=False, input=[{"role": "user", "content": "Hi"}, *references, result])

    said = service.asked[1].turns[2]
    assert (said["content"], said["tool_calls"][0]["function"]["name"]) == ("Look:", "look")


@pytest.mark.parametrize("store", [False, None])
async def test_what_is_not_to_be_kept_is_not(*, store: bool | None) -> None:
    shelf = Shelf()

    response = await ask(keeping(shelf), stream=False, **({} if store is None else {"store": store}))

    assert (len(shelf.records), response.store) == (int(store is None), store is None)


async def test_a_response_that_nobody_has_read_the_request_of_is_not_kept() -> None:
    shelf = Shelf()
    service = keeping(shelf)
    service.is_full = True

    await send(service, RESPONSES, HI)

    assert shelf.records == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_that_cannot_be_kept_is_given_all_the_same_and_says_so(*, stream: bool) -> None:
    shelf = Shelf()
    shelf.is_away = True

    response = await ask(keeping(shelf), stream=stream)

    assert (response.output_text, response.store, response.neverblank["stored"]) == ("Hello", False, False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "sort"), [({}, "output_text"), (FORCING, "refusal")])
async def test_a_conversation_that_cannot_be_found_now_is_answered_by_the_last_resort_and_by_no_model(
    body: dict[str, Any], sort: str, *, stream: bool
) -> None:
    shelf = Shelf()
    service = keeping(shelf)
    first = await ask(service, stream=False)
    shelf.is_away = True

    asked = HI | body | {"previous_response_id": first.id, "stream": stream}
    response = await send(service, RESPONSES, asked)

    told = events(response)[-1][1]["response"] if stream else response.json()
    assert MESSAGE in response.text
    assert (told["model"], told["output"][0]["content"][0]["type"], len(service.asked)) == ("last_resort", sort, 1)


async def test_a_response_that_cannot_be_looked_for_is_told_so() -> None:
    shelf = Shelf()
    shelf.is_away = True

    response = await send(keeping(shelf), f"{RESPONSES}/resp_{'0' * 32}")

    assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unreachable")


@pytest.mark.parametrize("name", ["resp_1", f"resp_{'0' * 32}", f"msg_{'0' * 32}"])
@pytest.mark.parametrize("is_on", [False, True])
async def test_what_is_not_kept_is_refused_by_name(name: str, *, is_on: bool) -> None:
    service = keeping()
    service.keeper = service.keeper if is_on else ResponseKeeper()

    found = await send(service, f"{RESPONSES}/{name}")
    gone_on = await send(service, RESPONSES, HI | {"previous_response_id": name})
    referred = await send(service, RESPONSES, {"input": [{"type": "item_reference", "id": name}]})

    assert (found.status_code, found.json()["error"]["param"]) == (404, "response_id")
    assert (gone_on.status_code, gone_on.json()["error"]["param"], gone_on.json()["error"]["code"]) == (
        400,
        "previous_response_id",
        "previous_response_not_found",
    )
    assert (referred.status_code, referred.json()["error"]["param"]) == (400, "input[0].type")


async def test_a_conversation_may_be_no_larger_than_a_request_and_references_lead_to_so_many_responses() -> None:
    service = keeping()
    first = await ask(service, stream=False, input="x" * 9_000)
    second = await ask(service, stream=False, input="x" * 900, previous_response_id=first.id)
    references = [{"type": "item_reference", "id": f"msg_{number:032x}"} for number in range(MOST_REFERRED + 1)]

    too_large = await send(service, RESPONSES, HI | {"previous_response_id": second.id})
    too_many = await send(service, RESPONSES, {"input": references})

    assert (too_large.status_code, too_large.json()["error"]["param"]) == (413, "previous_response_id")
    assert (too_many.status_code, too_many.json()["error"]["param"]) == (400, "input")


async def test_items_that_are_referred_to_may_together_be_no_larger_than_a_request() -> None:
    service = keeping(result="x" * 2_000)
    first = await ask(service, stream=False)
    reference = {"type": "item_reference", "id": first.output[0].id}

    some, too_much = [await send(service, RESPONSES, {"input": [reference] * count}) for count in (3, 6)]

    assert some.status_code == 200
    assert (too_much.status_code, too_much.json()["error"]["param"], len(service.asked)) == (413, "input", 2)


@pytest.mark.looptime
async def test_a_slow_store_has_no_more_time_for_many_references_than_for_one() -> None:
    shelf = Shelf()
    service = keeping(shelf)
    references = [{"type": "item_reference", "id": f"msg_{number:032x}"} for number in range(MOST_REFERRED)]
    shelf.takes_s = STORE_ANSWERS_S * 0.9

    response = await send(service, RESPONSES, {"input": references})

    assert MESSAGE in response.text
    assert asyncio.get_running_loop().time() <= STORE_ANSWERS_S


@pytest.mark.looptime
@pytest.mark.parametrize("timeout_s", [0.5, 30.0])
async def test_what_a_request_refers_to_is_looked_for_within_its_own_deadline_and_in_the_time_of_one_question(
    timeout_s: float,
) -> None:
    shelf = Shelf()
    service = keeping(shelf)
    first = await ask(service, stream=False)
    reference = {"type": "item_reference", "id": first.output[0].id}
    shelf.takes_s = STORE_ANSWERS_S * 0.9

    asked = {"input": [reference], "previous_response_id": first.id, "timeout": timeout_s}
    response = await send(service, RESPONSES, asked)

    assert MESSAGE in response.text
    assert asyncio.get_running_loop().time() <= min(timeout_s, STORE_ANSWERS_S)


@pytest.mark.looptime
async def test_a_request_that_waits_for_the_store_counts_as_one_that_arrives() -> None:
    shelf = Shelf()
    service = keeping(shelf)
    first = await ask(service, stream=False)
    shelf.takes_s = 1.0

    asking = [asyncio.create_task(send(service, RESPONSES, HI | {"previous_response_id": first.id})) for _ in "ab"]
    await asyncio.sleep(0.5)
    during = service.arriving
    await asyncio.gather(*asking)

    assert (during, service.arriving) == (2, 0)


@pytest.mark.looptime
async def test_a_slow_store_makes_no_whole_answer_late(events: list[dict[str, Any]]) -> None:
    shelf = Shelf()
    service = keeping(shelf)
    shelf.takes_s, service.opens_after_s = STORE_ANSWERS_S * 0.9, 4.0

    response = await send(service, RESPONSES, HI, headers={TIMEOUT_HEADER: "5"})

    assert (response.json()["output"][0]["content"][0]["text"], response.json()["store"]) == ("Hello", False)
    assert asyncio.get_running_loop().time() <= 5.0
    assert [line["reason"] for line in events] == ["it took longer than 1 s"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_error_of_ours_is_told_and_logged_where_no_model_could_answer(
    method: str, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    service = keeping(shelf)
    given = await ask(service, stream=False)
    shelf.records = dict.fromkeys(shelf.records, b"{")  # a corrupt record
    monkeypatch.setattr(service.keeper, "forget", service.keeper.find)

    transport = httpx.ASGITransport(build_asgi(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.request(method, f"{RESPONSES}/{given.id}")

    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (500, "server_error", "internal_error")
    assert [(line["event"], line["where"]) for line in events] == [("internal_error", "http")]


async def test_a_stream_of_a_kept_response_is_refused_by_name() -> None:
    response = await send(keeping(), f"{RESPONSES}/resp_{'0' * 32}?stream=true")

    assert (response.status_code, response.json()["error"]["param"]) == (400, "stream")


async def test_a_file_of_sqlite_keeps_them_for_all_routers(tmp_path: Path) -> None:
    services = [ScriptedService(an_answer(usage=Usage(2, 3)), keeper=ResponseKeeper()) for _ in range(2)]
    for service in services:
        service.keeper.use(f"sqlite:{tmp_path / 'responses'}", "", 60.0)

    given = await ask(services[0], stream=False)

    assert await client_of(services[1]).responses.retrieve(given.id) == given
    for service in services:
        await service.keeper.aclose()
        with pytest.raises(StoreUnreachableError):
            await service.keeper.find("x")
