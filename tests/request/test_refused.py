"""Requests that cannot be understood: every refusal names the field and what is accepted, and quotes no content."""

import json
import math
from typing import Any

import orjson
import pytest

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import MAX_MODEL_NAME, TEXT_KEYS
from deployments.request.body import Limits, check_size
from deployments.request.native import from_body, from_python
from deployments.request.openai import chat_request

LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)
SECRET = "hunter2"  # noqa: S105 - content that must not come back
HEADER = "x-request-timeout-seconds"


def refusal(body: bytes, *, model: str = "", header: str = "") -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        from_body(body, LIMITS, model=model, headers={HEADER: header})
    return checked(caught.value)


def refusal_of(data: Any, *, model: str = "", header: str = "") -> Problem:
    return refusal(orjson.dumps(data), model=model, header=header)


def refusal_from_python(data: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        from_python(data, LIMITS)
    return checked(caught.value)


def checked(error: InvalidRequestError) -> Problem:
    """What holds for every refusal."""
    problem = error.problem
    assert problem.field
    assert problem.message
    assert problem.accepted
    assert not is_blank(problem.explain())
    for told in (str(error), problem.explain(), str(problem.to_json())):
        assert SECRET not in told, "a refusal quotes content"
    return problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hunter2",
        b'{"text": "hunter2"',
        b"{'text': 'hunter2'}",
        b'{"text": "hunter2",}',
        b'{"text": "hunter2 \xff"}',
        b'{"text": "hunter2 \\ud800"}',
        b'{"text": "hunter2", "timeout": NaN}',
        b'{"text": "hunter2", "timeout": Infinity}',
        b"[" * 100_000,
        b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'\xef\xbb\xbf{"text": "hunter2",}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_not_json_is_refused_with_the_place_of_the_fault(body: bytes) -> None:
    problem = refusal(body)

    assert (problem.field, problem.status) == ("body", 400)
    assert "not valid JSON (line" in problem.message
    assert "JSON object" in problem.accepted


@pytest.mark.parametrize("data", [None, True, 7, 1.5, SECRET, "", [], [SECRET]])
def test_json_that_is_no_object_is_refused(data: Any) -> None:
    problem = refusal_of(data)

    assert problem.field == "body"
    assert all(key in problem.accepted for key in ("JSON object", *TEXT_KEYS, "messages"))


@pytest.mark.parametrize("data", [{}, {"txt": SECRET}, {"model": "a", "timeout": 5}, {"": SECRET}])
def test_a_request_without_a_text_is_told_where_one_may_be(data: Any) -> None:
    problem = refusal_of(data)

    assert (problem.field, problem.message) == ("text", "is missing")
    assert all(key in problem.accepted for key in (*TEXT_KEYS, "messages"))


@pytest.mark.parametrize("key", TEXT_KEYS)
@pytest.mark.parametrize("value", ["", " \n", "\u200b", None, [], {}])
def test_a_text_that_is_blank_is_refused(key: str, value: Any) -> None:
    problem = refusal_of({key: value})

    assert (problem.field, problem.message) == (key, "is empty")
    assert problem.accepted == "text that is not blank"


@pytest.mark.parametrize("key", [key for key in TEXT_KEYS if key != "input"])
@pytest.mark.parametrize("value", [7, 0, 1.5, True, [SECRET], {"a": SECRET}])
def test_a_text_that_is_something_else_is_refused(key: str, value: Any) -> None:
    problem = refusal_of({key: value})

    assert (problem.field, problem.accepted) == (key, "text that is not blank")


@pytest.mark.parametrize("timeout", [0, 5e-324, 0.0009, -1, 300.001, 1e300, "x", "5", True, False, [5], {"s": 5}, ""])
def test_a_timeout_in_the_body_that_is_not_accepted_is_refused(timeout: Any) -> None:
    problem = refusal_of({"text": SECRET, "timeout": timeout}, header="5")

    assert problem.field == "timeout"
    assert problem.accepted == "seconds, from 0.001 to 300"


@pytest.mark.parametrize(
    "timeout", ["0", "5e-324", "-1", "300.001", "x", "NaN", "inf", "-inf", "1e999", " ", "5s", "hunter2"]
)
def test_a_timeout_in_the_header_that_is_not_accepted_is_refused(timeout: str) -> None:
    problem = refusal_of({"text": SECRET}, header=timeout)

    assert problem.field == HEADER
    assert problem.accepted == "seconds, from 0.001 to 300"


@pytest.mark.parametrize("key", ["timeout", "temperature", "max_tokens"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_has_not_is_refused_from_python_as_over_http(key: str, value: float) -> None:
    refusal(b'{"text": "x", "%s": %s}' % (key.encode(), repr(value).encode()))

    refusal_from_python({"text": "x", key: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, "7", True, [1], 1 << 31, math.inf])
def test_max_tokens_that_are_not_accepted_are_refused(value: Any) -> None:
    if value == math.inf:
        refusal(b'{"text": "x", "max_tokens": 1e999}')
        return
    problem = refusal_of({"text": SECRET, "max_tokens": value})

    assert (problem.field, problem.accepted) == ("max_tokens", "a whole number from 1 to 2147483647")


@pytest.mark.parametrize("value", [-1, 1 << 63, 1 << 64, 1.5, "7", True])
def test_a_seed_that_an_engine_could_not_take_is_refused(value: Any) -> None:
    assert refusal(b'{"text": "x", "seed": %s}' % json.dumps(value).encode()).field == "seed"


@pytest.mark.parametrize("value", [-0.001, 2.001, "1", True, [1]])
def test_a_temperature_that_is_not_accepted_is_refused(value: Any) -> None:
    problem = refusal_of({"text": SECRET, "temperature": value})

    assert (problem.field, problem.accepted) == ("temperature", "a number from 0 to 2")


@pytest.mark.parametrize("value", ["", " ", 7, True, ["a"], {"a": 1}, "m" * (MAX_MODEL_NAME + 1)])
def test_a_model_that_is_no_name_is_refused(value: Any) -> None:
    problem = refusal_of({"text": SECRET, "model": value})

    assert problem.field == "model"
    assert "at most 128 characters" in problem.accepted


def test_two_different_models_in_body_and_path_are_refused() -> None:
    problem = refusal_of({"text": SECRET, "model": "a"}, model="b")

    assert problem.field == "model"
    assert "the same" in problem.accepted


def test_a_model_in_the_path_that_is_too_long_is_refused() -> None:
    assert refusal_of({"text": SECRET}, model="m" * (MAX_MODEL_NAME + 1)).field == "model"


@pytest.mark.parametrize("value", [[], "primary", ["last_resort"], ["primary", "hunter2"], [1], [["primary"]], {}])
def test_tiers_that_are_not_accepted_are_refused(value: Any) -> None:
    problem = refusal_of({"text": SECRET, "tiers": value})

    assert problem.field.startswith("tiers")
    assert all(tier in problem.accepted for tier in ("primary", "backup"))


USER = {"role": "user", "content": "hunter2"}


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ("hunter2", "messages"),
        (7, "messages"),
        (USER, "messages"),
        (["hunter2"], "messages[0]"),
        ([USER, None], "messages[1]"),
        ([USER, ["hunter2"]], "messages[1]"),
        ([{"content": "hunter2"}], "messages[0].role"),
        ([{"role": "hunter2", "content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([USER, {"role": "user", "content": [{"type": "text"}]}], "messages[1].content"),
        ([USER, {"role": "user", "content": " \n"}], "messages[1].content"),
    ],
)
def test_messages_that_are_not_accepted_are_refused_with_their_place(messages: Any, field: str) -> None:
    assert refusal_of({"messages": messages}).field == field


@pytest.mark.parametrize("key", TEXT_KEYS)
def test_messages_and_a_text_together_are_refused(key: str) -> None:
    problem = refusal_of({"messages": [USER], key: "hunter2"})

    assert problem.field == "messages"
    assert key in problem.message


def test_a_body_above_the_limit_is_refused_as_too_large() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        from_body(b'{"text": "hunter2"}', Limits(max_bytes=18, timeout_s=1.0, max_timeout_s=1.0))

    problem = checked(caught.value)
    assert (problem.field, problem.status) == ("body", 413)
    assert "18 bytes" in problem.accepted


def test_a_body_of_exactly_the_limit_is_read() -> None:
    check_size(18, Limits(max_bytes=18, timeout_s=1.0, max_timeout_s=1.0))


def test_a_python_request_above_the_limit_is_refused_as_too_large() -> None:
    assert refusal_from_python({"text": SECRET * 200_000}).status == 413


@pytest.mark.parametrize(
    "data",
    [
        {"text": f"{SECRET} \ud800"},
        {"text": SECRET, "x": object()},
        {"text": SECRET.encode()},
        {"text": SECRET, "n": 2**70},
        {1: SECRET},
        {"text": {SECRET}},
    ],
    ids=["lone surrogate", "object", "bytes", "huge integer", "key that is no text", "set"],
)
def test_what_cannot_be_written_as_json_is_refused_from_python(data: Any) -> None:
    problem = refusal_from_python(data)

    assert problem.field == "body"
    assert "cannot be written as JSON" in problem.message


@pytest.mark.parametrize("data", [None, SECRET, 7, [SECRET]])
def test_what_is_no_mapping_is_refused_from_python(data: Any) -> None:
    assert refusal_from_python(data).field == "body"


def test_a_refusal_is_told_as_an_error_object() -> None:
    problem = refusal_of({"text": SECRET, "timeout": 0})

    assert problem.to_json() == {
        "type": "invalid_request",
        "field": "timeout",
        "message": "is out of range",
        "accepted": "seconds, from 0.001 to 300",
    }


def test_a_shortest_answer_above_the_longest_is_refused() -> None:
    assert refusal_of({"text": "Hi", "min_tokens": 9, "max_tokens": 8}).field == "min_tokens"
    with pytest.raises(InvalidRequestError, match="min_tokens is above max_tokens"):
        chat_request(
            b'{"messages": [{"role": "user", "content": "Hi"}], "min_tokens": 9, "max_completion_tokens": 8}', LIMITS
        )
