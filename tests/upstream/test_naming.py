"""A caller is told the field that he has sent, by its name in his own format, whatever the remote calls it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from deployments.policy.outcome import Rejected
from deployments.request import InferenceRequest
from deployments.request.anthropic import messages_request
from deployments.request.body import Limits
from deployments.request.native import from_mapping
from deployments.request.openai import chat_request, completion_request
from deployments.request.openai_responses import responses_request
from deployments.settings.remotes import RemoteApi, RemoteSpec
from deployments.upstream import Upstream
from deployments.upstream.complaints import read_complaint

LIMITS = Limits(timeout_s=30.0, max_bytes=1 << 20, max_timeout_s=60.0)
HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {}}


def chat(**fields: Any) -> InferenceRequest:
    return chat_request(_body(messages=HI, **fields), LIMITS).requests[0]


def completion(**fields: Any) -> InferenceRequest:
    return completion_request(_body(prompt="Hi", **fields), LIMITS).requests[0]


def messages(**fields: Any) -> InferenceRequest:
    return messages_request(_body(messages=HI, max_tokens=5, **fields), LIMITS)


def responses(**fields: Any) -> InferenceRequest:
    return responses_request({"model": "m", "input": "Hi", **fields}, LIMITS).request


def native(**fields: Any) -> InferenceRequest:
    return from_mapping({"text": "Hi", **fields}, LIMITS)


def _body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", **fields}).encode()


def rejected(request: InferenceRequest, api: RemoteApi, error: dict[str, Any]) -> Rejected:
    upstream = Upstream("far", RemoteSpec(base_url="https://api.example.com/v1", model="x", api=api))
    outcome = upstream._classify(read_complaint({"error": error}, 400, {}), request)
    assert isinstance(outcome, Rejected), outcome
    return outcome


FORM = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
FLAT_FORM = {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("asked", "fields", "api", "named", "told"),
    [
        (messages, {"stop_sequences": ["a"]}, "chat", "stop", "stop_sequences"),
        (messages, {"stop_sequences": ["a"]}, "messages", "stop_sequences[0]", "stop_sequences[0]"),
        (messages, {}, "chat", "max_completion_tokens", "max_tokens"),
        (messages, {}, "responses", "max_output_tokens", "max_tokens"),
        (messages, {}, "chat", "messages[0].content", "messages"),
        (messages, {"system": "Be brief."}, "responses", "instructions", "system"),
        (messages, {"metadata": {"user_id": "u"}}, "chat", "user", "metadata"),
        (chat, {"stop": "a"}, "messages", "stop_sequences", "stop"),
        (chat, {}, "chat", "messages[0].content", "messages[0].content"),
        (chat, {}, "responses", "input[0].content", "messages"),
        (chat, {"max_completion_tokens": 9}, "chat", "max_tokens", "max_completion_tokens"),
        (chat, {"max_completion_tokens": 9}, "chat", "max_completion_tokens", "max_completion_tokens"),
        (chat, {"max_completion_tokens": 9}, "messages", "max_tokens", "max_completion_tokens"),
        (chat, {"max_completion_tokens": 9}, "responses", "max_output_tokens", "max_completion_tokens"),
        (chat, {"max_tokens": 9}, "chat", "max_completion_tokens", "max_tokens"),
        (chat, {"max_tokens": 9, "max_completion_tokens": 9}, "chat", "max_tokens", "max_tokens"),
        (chat, {"response_format": FORM}, "responses", "text.format.schema", "response_format"),
        (chat, {"response_format": FORM}, "messages", "output_config.format", "response_format"),
        (chat, {"reasoning_effort": "low"}, "messages", "output_config.effort", "reasoning_effort"),
        (chat, {"temperature": 1.5}, "messages", "temperature", "temperature"),
        (responses, {}, "chat", "messages[0].content", "input"),
        (responses, {"max_output_tokens": 5}, "messages", "max_tokens", "max_output_tokens"),
        (responses, {"text": FLAT_FORM}, "chat", "response_format.json_schema", "text"),
        (completion, {}, "chat", "messages", "prompt"),
        (completion, {"stop": "a"}, "messages", "stop_sequences", "stop"),
        (chat, {}, "chat", "truncate", "truncate"),  # it is demanded of him
        (native, {}, "chat", "messages[0].content", "text"),
        (native, {"stop": "a"}, "messages", "stop_sequences", "stop"),
    ],
)
def test_a_complaint_names_the_callers_own_field(
    asked: Callable[..., InferenceRequest], fields: dict[str, Any], api: RemoteApi, named: str, told: str
) -> None:
    error = {"type": "invalid_request_error", "message": "This value is not valid.", "param": named}

    assert rejected(asked(**fields), api, error).field == told


@pytest.mark.parametrize(
    ("asked", "api", "named"),
    [
        (chat, "messages", "max_tokens"),
        (chat, "chat", "stream_options"),
        (chat, "chat", "max_completion_tokens"),
        (native, "responses", "text.format"),
        (native, "responses", "store"),
        (messages, "chat", "stop"),
        (responses, "chat", "stream_options"),
    ],
)
def test_of_a_field_that_the_caller_has_not_sent_no_name_is_told(
    asked: Callable[..., InferenceRequest], api: RemoteApi, named: str
) -> None:
    error = {"type": "invalid_request_error", "message": "This value is not valid.", "param": named}

    assert rejected(asked(), api, error).field == "body"


@pytest.mark.parametrize(
    ("asked", "told"),
    [(chat, "messages"), (messages, "messages"), (responses, "input"), (completion, "prompt"), (native, "text")],
)
@pytest.mark.parametrize("error", [{"code": "context_length_exceeded"}, {"code": "content_policy_violation"}])
def test_what_is_wrong_with_a_prompt_is_told_of_the_field_that_holds_it(
    asked: Callable[..., InferenceRequest], told: str, error: dict[str, Any]
) -> None:
    assert rejected(asked(), "chat", {"message": "No.", **error}).field == told
