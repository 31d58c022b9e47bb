"""What a request may look like, and what is read from it."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.policy.attempt import Tier
from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError
from deployments.request import TEXT_KEYS, InferenceRequest, Parameters, extract_text
from deployments.request.body import Limits
from deployments.request.native import from_body, from_python

TIMEOUT = "x-request-timeout-seconds"
LIMITS = Limits(max_bytes=1 << 20, timeout_s=30.0, max_timeout_s=300.0)


def read(data: Any, *, model: str = "", header: str = "") -> InferenceRequest:
    return from_body(orjson.dumps(data), LIMITS, model=model, headers={TIMEOUT: header})


def test_a_text_is_read_with_the_defaults() -> None:
    request = read({"text": "hello"})

    assert (request.text, request.messages, request.model, request.timeout_s) == ("hello", (), "", 30.0)
    assert request.parameters == Parameters()
    assert request.tiers == {Tier.PRIMARY, Tier.BACKUP}


@pytest.mark.parametrize(
    "body",
    [
        {"text": "hello"},
        {"text": "hello", "stream": True, "tiers": ["backup"], "hedge": False, "timeout": 2, "max_tokens": 5},
        {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Once"}]},
        {"input": {"big": 2**63, "small": -(2**63), "deep": [[[{"a": None}]]], "text": "\u0000 é 🙂"}, "stop": ["x"]},
    ],
)
def test_a_request_arrives_in_another_process_as_it_was_sent(body: dict[str, Any]) -> None:
    request = read(body, model="m")

    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own


@pytest.mark.parametrize("key", TEXT_KEYS)
def test_the_text_may_be_under_each_of_its_keys(key: str) -> None:
    assert read({key: "hello"}).text == "hello"


@pytest.mark.parametrize("place", range(len(TEXT_KEYS)))
def test_the_first_text_key_that_is_not_blank_counts(place: int) -> None:
    data = {key: f"from {key}" if TEXT_KEYS.index(key) >= place else " \u200b" for key in reversed(TEXT_KEYS)}

    assert read(data).text == f"from {TEXT_KEYS[place]}"


def test_the_order_of_the_text_keys_is_a_promise() -> None:
    assert TEXT_KEYS == ("text", "prompt", "query", "input", "message")


def test_a_text_is_passed_on_as_it_was_sent() -> None:
    assert read({"text": "  two\nlines \u200b"}).text == "  two\nlines \u200b"


@pytest.mark.parametrize("value", [0, False, [1, 2.5], {"a": {"b": [None, "x"]}}, [[1.0, 2.0], [3.0, 4.0]]])
def test_input_may_be_any_json_and_its_text_is_that_json(value: Any) -> None:
    request = read({"input": value})

    assert orjson.loads(request.text) == value
    assert request.inputs == {"input": value}


def test_messages_are_read_in_their_order_with_role_and_content_only() -> None:
    request = read(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi", "name": "Ada"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": "And?"},
            ]
        }
    )

    assert request.text == ""
    assert request.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "And?"},
    )


def test_messages_of_null_are_no_messages() -> None:
    assert read({"messages": None, "text": "hello"}).text == "hello"


def test_a_model_gets_everything_but_what_controls_the_request() -> None:
    data = {"text": "hello", "model": "a", "timeout": 5, "tiers": ["primary"], "top": 3, "max_tokens": 7}

    assert read(data).inputs == {"text": "hello", "top": 3, "max_tokens": 7}


@pytest.mark.parametrize(("body", "path", "model"), [("a", "", "a"), (None, "a", "a"), ("a", "a", "a"), (None, "", "")])
def test_the_model_may_be_in_the_body_or_in_the_path(body: str | None, path: str, model: str) -> None:
    assert read({"text": "x", "model": body}, model=path).model == model


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (5, "", 5.0),
        (0.5, "", 0.5),
        (300, "", 300.0),
        (None, "", 30.0),
        (None, "7.5", 7.5),
        (None, " 8 ", 8.0),
        (5, "7", 5.0),
    ],
)
def test_the_timeout_of_the_body_goes_before_the_headers_and_that_before_the_default(
    body: Any, header: str, seconds: float
) -> None:
    assert read({"text": "x", "timeout": body}, header=header).timeout_s == seconds


def test_sampling_is_read() -> None:
    request = read({"text": "x", "max_tokens": 1, "temperature": 0})

    assert (request.parameters.max_tokens, request.parameters.temperature) == (1, 0.0)


@pytest.mark.parametrize(
    ("names", "tiers"),
    [
        (["primary"], {Tier.PRIMARY}),
        (["backup"], {Tier.BACKUP}),
        (["backup", "primary"], {Tier.PRIMARY, Tier.BACKUP}),
        (None, {Tier.PRIMARY, Tier.BACKUP}),
    ],
)
def test_the_tiers_that_may_be_asked_are_read(names: Any, tiers: set[Tier]) -> None:
    assert read({"text": "x", "tiers": names}).tiers == tiers


def test_a_python_caller_is_read_like_its_json() -> None:
    data = {"input": np.array([[1.0, 2.0]]), "timeout": np.float64(5.0), "model": "a"}

    request = from_python(data, LIMITS)

    assert (request.text, request.timeout_s, request.model) == ("[[1.0,2.0]]", 5.0, "a")
    assert request.inputs == {"input": [[1.0, 2.0]]}


def test_the_text_of_a_mapping_is_extracted_by_the_same_rule() -> None:
    assert extract_text({"text": " ", "query": "hello", "message": "no"}) == "hello"
    with pytest.raises(InvalidRequestError):
        extract_text({"other": "hello"})


# --- any bytes at all -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({}, optional={"role": st.sampled_from(["user", "system", "x", 1]), "content": JSON}) | JSON,
    max_size=3,
)
KNOWN = {
    **dict.fromkeys(TEXT_KEYS, JSON),
    "messages": MESSAGES | JSON,
    "model": JSON,
    "timeout": JSON | st.floats(-1, 400),
    "max_tokens": JSON,
    "temperature": JSON,
    "tiers": JSON | st.lists(st.sampled_from(["primary", "backup", "last_resort"]) | JSON, max_size=3),
}
# Mostly with a text, so that faults in the other fields are reached.
OBJECTS = st.fixed_dictionaries({}, optional=KNOWN) | st.fixed_dictionaries(
    {"text": st.just("x")}, optional={key: values for key, values in KNOWN.items() if key not in TEXT_KEYS}
)


def is_request_or_refused(data: Any, read_it: Callable[..., InferenceRequest], **also: Any) -> None:
    """Either a request that keeps its promises, or an `InvalidRequestError`: any other exception goes through."""
    try:
        request = read_it(data, LIMITS, **also)
    except InvalidRequestError as error:
        refused = error.problem
    else:
        assert not is_blank(request.text) or not is_blank([message["content"] for message in request.messages])
        assert 0 < request.timeout_s <= LIMITS.max_timeout_s
        assert request.parameters.max_tokens is None or request.parameters.max_tokens >= 1
        assert request.parameters.temperature is None or 0 <= request.parameters.temperature <= 2
        assert request.tiers
        return
    assert 400 <= refused.status < 500
    assert not is_blank(refused.explain())


@given(st.binary(max_size=200), st.text(max_size=5), st.text(max_size=5))
def test_any_bytes_are_a_request_with_content_or_refused(body: bytes, header: str, model: str) -> None:
    is_request_or_refused(body, from_body, headers={TIMEOUT: header}, model=model)


@settings(max_examples=500)
@given(OBJECTS | JSON, st.just("") | st.text(max_size=5) | st.floats().map(str))
def test_any_json_is_a_request_with_content_or_refused(data: Any, header: str) -> None:
    body = json.dumps(data).encode()

    is_request_or_refused(body, from_body, headers={TIMEOUT: header})


@pytest.mark.parametrize("key", [*KNOWN, "other"])
@pytest.mark.parametrize("depth", [300, 1_000, 100_000])
def test_json_of_any_depth_is_a_request_with_content_or_refused(key: str, depth: int) -> None:
    text = b'"x": 1' if key == "input" else b'"text": "x"'
    body = b'{%s, "%s": %s1%s}' % (text, key.encode(), b"[" * depth, b"]" * depth)

    is_request_or_refused(body, from_body)


@given(OBJECTS | st.dictionaries(st.text(max_size=3), st.floats() | st.binary(max_size=3) | st.integers()))
def test_any_python_mapping_is_a_request_with_content_or_refused(data: dict[str, Any]) -> None:
    is_request_or_refused(data, from_python)


def test_a_model_given_beside_the_body_by_a_python_caller_must_be_a_name() -> None:
    for model in (5, ["a"], " "):
        with pytest.raises(InvalidRequestError) as raised:
            from_python({"text": "Hello"}, LIMITS, model=model)

        assert raised.value.problem.field == "model"
    assert from_python({"text": "Hello"}, LIMITS, model=None).model == ""
