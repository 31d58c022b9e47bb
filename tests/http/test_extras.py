"""What came beside an answer reaches the caller where clients look for it, and never in the place of what is ours."""

from typing import Any

import pytest

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from tests.http.service import ScriptedService, an_answer, last_resort
from tests.http.wire import BROKEN_OFF, CALL, CHAT, ENDPOINTS, events, send

LOGPROBS: dict[str, Any] = {
    "content": [{"token": "Hel", "logprob": -0.1, "bytes": None, "top_logprobs": []}],
    "refusal": None,
}
OTHER = {"index": 1, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "length", "seed": 7}
DETAILS = {"prompt_tokens_details": {"cached_tokens": 1}, "prompt_tokens": "2", "total_tokens": 9}
EXTRAS = Extras(
    body={"system_fingerprint": "fp", "service_tier": "flex", "citations": ["u"]},
    choice={"logprobs": LOGPROBS, "native_finish_reason": "eos"},
    message={"reasoning_content": "hm", "annotations": []},
    usage=DETAILS,
    others=(OTHER,),
)
IN_OUR_PLACE = Extras(
    body=dict.fromkeys(("id", "object", "created", "model", "choices", "usage", "neverblank", "error"), "theirs"),
    choice=dict.fromkeys(("index", "finish_reason", "message", "delta", "text"), "theirs"),
    message=dict.fromkeys(("role", "content", "refusal", "tool_calls"), "theirs"),
)
USAGE = CHAT | {"stream": True, "stream_options": {"include_usage": True}}


def more(**fields: Any) -> Answer:
    return an_answer(**{"extras": EXTRAS, "usage": Usage(2, 3), **fields})


async def chunks(service: ScriptedService, body: dict[str, Any], path: str = "/v1/chat/completions") -> list[Any]:
    *read, done = [data for _, data in events(await send(service, path, body))]
    assert done == "[DONE]"
    return read


# --- OpenAI's format ----------------------------------------------------------------------------------


async def test_a_completion_has_everything_that_came_with_the_answer() -> None:
    told = (await send(ScriptedService(more()), "/v1/chat/completions", CHAT)).json()

    first, second = told["choices"]
    assert (told["system_fingerprint"], told["service_tier"], told["citations"]) == ("fp", "flex", ["u"])
    assert (first["logprobs"], first["native_finish_reason"], first["finish_reason"]) == (LOGPROBS, "eos", "stop")
    assert first["message"] == {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "reasoning_content": "hm",
        "annotations": [],
    }
    assert second == {**OTHER, "logprobs": None}
    assert told["usage"] == {**DETAILS, "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 9}


async def test_a_chat_stream_has_everything_that_came_beside_its_texts_in_the_order_in_which_it_came() -> None:
    read = await chunks(ScriptedService(more()), USAGE)

    role, beside, other, *texts, end, usage = read
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert beside["choices"][0]["delta"] == {"reasoning_content": "hm", "annotations": []}
    assert (beside["choices"][0]["logprobs"], beside["choices"][0]["finish_reason"]) == (LOGPROBS, None)
    delta = {"index": 1, "delta": OTHER["message"], "finish_reason": "length", "seed": 7, "logprobs": None}
    assert other["choices"] == [delta]
    assert [text["choices"][0]["delta"] for text in texts] == [{"content": "Hel"}, {"content": "lo"}]
    assert end["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert [("citations" in chunk, chunk.get("system_fingerprint")) for chunk in read] == [
        (False, None),
        (True, "fp"),
        *[(False, "fp")] * 5,
    ]


async def test_a_text_completion_has_it_in_its_choices() -> None:
    told = (await send(ScriptedService(more()), "/v1/completions", {"prompt": "Hi"})).json()
    read = await chunks(ScriptedService(more()), {"prompt": "Hi", "stream": True}, "/v1/completions")

    own: dict[str, Any] = {
        "index": 0,
        "logprobs": {"tokens": ["Hel"], "token_logprobs": [-0.1], "top_logprobs": [{"Hel": -0.1}], "text_offset": [0]},
        "reasoning_content": "hm",
        "annotations": [],
        "native_finish_reason": "eos",
    }
    second = {"index": 1, "text": "Hi!", "finish_reason": "length", "logprobs": None, "seed": 7}
    assert told["choices"] == [{**own, "text": "Hello", "finish_reason": "stop"}, second]
    assert read[0]["choices"] == [{**own, "text": "", "finish_reason": None}]
    assert read[1]["choices"] == [second]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_none_of_it_stands_in_the_place_of_what_is_ours(path: str) -> None:
    body = CHAT if "chat" in path else {"prompt": "Hi"}
    response = await send(ScriptedService(an_answer(extras=IN_OUR_PLACE)), path, body)
    read = await chunks(ScriptedService(an_answer(extras=IN_OUR_PLACE)), body | {"stream": True}, path)

    assert "theirs" not in response.text + str(read)


async def test_tool_calls_of_a_further_choice_have_indices_in_a_stream() -> None:
    other = {"index": 1, "message": {"role": "assistant", "content": None, "tool_calls": [CALL]}}

    read = await chunks(ScriptedService(an_answer(extras=Extras(others=(other,)))), CHAT | {"stream": True})

    assert read[1]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **CALL}]


# --- the native API -----------------------------------------------------------------------------------


async def test_the_native_api_tells_it_in_a_field_and_in_events_of_its_own() -> None:
    whole = (await send(ScriptedService(more()), "/v1/infer", {"text": "Hi"})).json()
    streamed = events(await send(ScriptedService(more()), "/v1/infer", {"text": "Hi", "stream": True}))

    assert whole["extras"] == {
        "body": EXTRAS.body,
        "choice": EXTRAS.choice,
        "message": EXTRAS.message,
        "usage": EXTRAS.usage,
        "others": [OTHER],
    }
    assert streamed[0] == ("extras", {"extras": whole["extras"], "model": "m", "served_by": "primary"})
    assert [name for name, _ in streamed] == ["extras", "token", "token", "done"]
    assert streamed[-1][1]["extras"] == whole["extras"]


# --- what was dropped ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_dropped_is_listed_in_the_answer_and_in_a_header(
    path: str, body: dict[str, Any], *, stream: bool
) -> None:
    service = ScriptedService(an_answer(dropped=("logprobs", "image"), degraded=True))

    response = await send(service, path, body | {"stream": stream})

    assert response.headers["x-neverblank-dropped"] == "logprobs, image"
    told = [data for _, data in events(response) if data != "[DONE]"] if stream else [response.json()]
    told = [data.get("response", data) for data in told]
    last = [data for data in told if data.keys() & {"neverblank", "result"}][-1]
    assert last.get("neverblank", last)["dropped"] == ["logprobs", "image"]


# --- token counts -------------------------------------------------------------------------------------


async def test_counts_that_a_model_gave_are_told_and_all_others_estimated() -> None:
    question = {"messages": [{"role": "user", "content": "12345678"}]}
    counted = (await send(ScriptedService(an_answer(usage=Usage(2, 3))), "/v1/chat/completions", question)).json()
    uncounted = (await send(ScriptedService(an_answer("123456789")), "/v1/chat/completions", question)).json()
    nobody = (await send(ScriptedService(last_resort()), "/v1/chat/completions", question)).json()

    assert counted["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert uncounted["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert nobody["usage"]["total_tokens"] == 0
    assert [told["neverblank"].get("usage_estimated") for told in (counted, uncounted, nobody)] == [None, True, None]


async def test_the_counts_of_a_stream_are_estimated_by_its_pieces_where_its_model_gave_none() -> None:
    *_, end, usage = await chunks(ScriptedService(pieces=tuple("Hello")), USAGE)

    assert usage["usage"] == {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}
    assert end["neverblank"]["usage_estimated"] is True


async def test_counts_that_a_request_asks_for_are_told_though_it_is_turned_away_unread() -> None:
    *_, usage = await chunks(ScriptedService(is_full=True), USAGE)

    assert usage["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


async def test_a_text_that_the_last_resort_ended_is_counted() -> None:
    answer = last_resort(attempts=(BROKEN_OFF,), served_by=Tier.LAST_RESORT)

    *_, end, usage = await chunks(ScriptedService(answer), USAGE)

    assert usage["usage"]["completion_tokens"] > 1
    assert end["neverblank"]["usage_estimated"] is True


async def test_counts_of_several_prompts_are_added_and_one_estimate_marks_them() -> None:
    told = (await send(ScriptedService(an_answer("1234")), "/v1/completions", {"prompt": ["1234", "12345"]})).json()

    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert told["neverblank"]["usage_estimated"] is True


async def test_a_long_list_of_what_was_dropped_is_cut_in_the_header_alone() -> None:
    names = tuple(f"field-{number}" for number in range(1000))
    service = ScriptedService(an_answer(dropped=names))

    response = await send(service, "/v1/infer", {"text": "Hi"})

    *told, rest = response.headers["x-neverblank-dropped"].split(", ")
    assert tuple(told) == names[: len(told)]
    assert rest == f"+{1000 - len(told)}"
    assert 900 < len(response.headers["x-neverblank-dropped"]) < 1100
    assert response.json()["dropped"] == list(names)
