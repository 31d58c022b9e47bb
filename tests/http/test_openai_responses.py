"""OpenAI's Responses on the wire: whole responses, and errors."""

import pytest

from deployments.policy.answer import Answer
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from deployments.policy.problem import CONTEXT_LENGTH, Problem
from tests.http.responding import CALLING, HI, REASONING, RESPONSES, built, names, respond, stream
from tests.http.service import ScriptedService, an_answer, last_resort
from tests.http.wire import BROKEN_OFF, CALL, send

CUSTOM = {"id": "d", "type": "custom", "custom": {"name": "write", "input": "abc"}}
CITED = {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "u", "title": "t"}
LIKELY = {"token": "Hel", "logprob": -0.1, "bytes": None, "top_logprobs": []}


# --- a whole response ---------------------------------------------------------------------------------


async def test_a_response_has_openais_fields_and_our_own() -> None:
    asked = {"instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0.5, "reasoning": {"effort": "low"}}
    service = ScriptedService(an_answer(usage=Usage(2, 3)))

    response = await send(service, RESPONSES, HI | asked, headers={"x-request-id": "r"})

    told = response.json()
    key = told["id"].removeprefix("resp_")
    assert told.pop("neverblank") == {
        "served_by": "primary",
        "degraded": False,
        "finish_reason": "stop",
        "attempts": [],
        "request_id": "r",
        "model": "m",
    }
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    assert told.pop("output") == [
        {"type": "message", "id": f"msg_{key}", "role": "assistant", "content": [part], "status": "completed"}
    ]
    assert (told["object"], told["status"], told["model"], told["store"]) == ("response", "completed", "m", False)
    assert {name: told[name] for name in asked} == asked
    assert told["created_at"] <= told["completed_at"]
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"], told["usage"]["total_tokens"]) == (2, 3, 5)
    assert (told["text"], told["tools"], told["tool_choice"]) == ({"format": {"type": "text"}}, [], "auto")


async def test_two_responses_to_requests_with_the_same_id_have_ids_of_their_own() -> None:
    told = [await send(ScriptedService(), RESPONSES, HI, headers={"x-request-id": "r"}) for _ in range(2)]

    assert len({response.json()["id"] for response in told}) == 2


@pytest.mark.parametrize("stream_it", [False, True])
async def test_reasoning_stands_before_the_text_and_tool_calls_behind_it(*, stream_it: bool) -> None:
    answer = an_answer("Hello", tool_calls=(CALL, CUSTOM), finish_reason="tool_calls", extras=REASONING)

    output = built(await stream(ScriptedService(answer))) if stream_it else (await respond(answer))["output"]

    thought, said, called, wrote = output
    assert (thought["content"], thought["summary"]) == ([{"type": "reasoning_text", "text": "hm"}], [])
    assert said["content"][0]["text"] == "Hello"
    assert (called["type"], called["call_id"], called["name"], called["arguments"]) == (
        "function_call",
        "c",
        "look",
        "{}",
    )
    assert (wrote["type"], wrote["call_id"], wrote["name"], wrote["input"]) == ("custom_tool_call", "d", "write", "abc")
    assert len({item["id"] for item in output}) == 4


@pytest.mark.parametrize("stream_it", [False, True])
async def test_reasoning_is_a_summary_where_one_is_asked_for(*, stream_it: bool) -> None:
    answer, asked = an_answer(extras=REASONING), {"reasoning": {"summary": "auto"}}

    if stream_it:
        read = await stream(ScriptedService(answer), **asked)
        thought = built(read)[0]
        assert names(read)[3:8] == [
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
    else:
        thought = (await respond(answer, **asked))["output"][0]

    assert (thought["content"], thought["summary"]) == ([], [{"type": "summary_text", "text": "hm"}])


@pytest.mark.parametrize("stream_it", [False, True])
async def test_citations_and_log_probabilities_stand_beside_the_text_and_all_else_in_extras(*, stream_it: bool) -> None:
    of_chats = {"type": "url_citation", "url_citation": {name: CITED[name] for name in CITED if name != "type"}}
    extras = Extras(
        body={"citations": ["u"]}, choice={"logprobs": {"content": [LIKELY]}}, message={"annotations": [of_chats]}
    )

    if stream_it:
        read = await stream(ScriptedService(an_answer(extras=extras)))
        told = read[-1][1]["response"]
        assert [data["annotation"] for name, data in read if name.endswith("annotation.added")] == [CITED]
    else:
        told = await respond(an_answer(extras=extras))

    part = told["output"][0]["content"][0]
    assert part["annotations"] == [CITED]
    assert part["logprobs"] == [{"token": "Hel", "bytes": [72, 101, 108], "logprob": -0.1, "top_logprobs": []}]
    assert told["neverblank"]["extras"] == {"body": {"citations": ["u"]}}


async def test_a_citation_or_a_log_probability_of_another_form_is_left_where_it_was() -> None:
    extras = Extras(choice={"logprobs": {"content": [{"token": 3}]}}, message={"annotations": [{"type": "mark"}]})

    told = await respond(an_answer(extras=extras))

    assert (told["output"][0]["content"][0]["annotations"], told["output"][0]["content"][0]["logprobs"]) == ([], [])
    assert told["neverblank"]["extras"] == extras.to_json()


async def test_what_was_read_from_a_cache_and_thought_is_counted() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 7}, "completion_tokens_details": {"reasoning_tokens": 4}}

    usage = (await respond(an_answer(usage=Usage(10, 6), extras=Extras(usage=details))))["usage"]

    assert (usage["input_tokens_details"]["cached_tokens"], usage["output_tokens_details"]) == (
        7,
        {"reasoning_tokens": 4},
    )


async def test_that_nothing_is_stored_is_told_where_it_was_asked_for() -> None:
    told = [(await respond(an_answer(), store=store))["neverblank"].get("stored") for store in (True, False, None)]

    assert told == [False, None, None]


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (an_answer(), "completed", None),
        (an_answer(finish_reason="length"), "incomplete", "max_output_tokens"),
        (an_answer(finish_reason="deadline"), "incomplete", "max_output_tokens"),
        (an_answer(finish_reason="content_filter"), "incomplete", "content_filter"),
        (CALLING, "completed", None),
        (last_resort(), "completed", None),
        (last_resort(attempts=(BROKEN_OFF,)), "incomplete", "max_output_tokens"),
        (last_resort(refusal=True), "completed", None),
    ],
)
@pytest.mark.parametrize("stream_it", [False, True])
async def test_a_response_ends_in_the_status_that_it_has(
    answer: Answer, status: str, reason: str | None, *, stream_it: bool
) -> None:
    if stream_it:
        name, end = (await stream(ScriptedService(answer)))[-1]
        assert name == f"response.{status}"
        told = end["response"]
    else:
        told = await respond(answer)

    assert (told["status"], (told["incomplete_details"] or {}).get("reason")) == (status, reason)
    messages = [item for item in told["output"] if item["type"] == "message"]
    assert all(item["status"] == status for item in messages)


# --- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
async def test_what_is_not_kept_here_is_refused_by_name(field: str) -> None:
    response = await send(ScriptedService(), RESPONSES, HI | {field: "resp_1"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


async def test_a_prompt_that_is_too_long_has_openais_code() -> None:
    problem = Problem("input", "has too many tokens", "fewer", code=CONTEXT_LENGTH)

    response = await send(ScriptedService(problem), RESPONSES, HI)

    assert (response.status_code, response.json()["error"]["code"]) == (400, CONTEXT_LENGTH)


@pytest.mark.looptime
async def test_what_turns_out_to_be_invalid_behind_a_pending_head_is_an_event_that_says_so() -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"), opens_after_s=25.0)

    response = await send(service, RESPONSES, HI | {"stream": True})

    told = response.text.split("\n\n")
    assert told[:2] == [": keep-alive", ": keep-alive"]
    assert told[2].startswith("event: error\n")
    assert '"param":"seed"' in told[2]


async def test_an_answer_that_nothing_may_stand_in_for_is_an_error() -> None:
    answer = an_answer("no vector", unavailable="vector_unavailable")

    response = await send(ScriptedService(answer), RESPONSES, HI)

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")
