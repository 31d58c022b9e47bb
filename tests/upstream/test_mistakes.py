"""Which refusals are the caller's for certain, so that no other model is asked, and which may be another's fault."""

from typing import Any

import pytest

from deployments.upstream.causes import Cause
from deployments.upstream.complaints import read_complaint

ERROR = {"type": "invalid_request_error", "code": None, "param": None}


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ("temperature must be between 0 and 1.0 inclusive.", {}),
        ("invalid request: temperature must be between 0 and 1.0 inclusive.", {}),
        ("Expected a number for top_p", {}),
        ("`max_tokens` must be less than or equal to `8192`", {}),
        ("max_tokens: 100000 > 8192, which is the maximum allowed", {}),
        ("Invalid value at 'generation_config.top_p'", {}),
        ("messages: at least one message is required", {}),
        ("messages must not be empty", {}),
        ("messages[1].content: Field required", {}),
        ("tools[0].function.parameters is not a valid schema", {}),
        ("Failed to parse: messages[1]: missing field `content`", {}),
        ("Invalid schema for response_format 'x'", {}),
        ("Additional properties are not allowed", {"param": "response_format"}),
        ("Unrecognized request argument supplied: foo", {"code": "unknown_parameter"}),
        ("No.", {"code": "unsupported_value"}),
        ("'temperature' does not support 0.2 with this model.", {"code": "unsupported_value", "param": "temperature"}),
        ("No.", {"param": "stop"}),
    ],
)
def test_a_refusal_that_names_a_field_or_a_code_is_the_callers_for_certain(message: str, more: dict[str, Any]) -> None:
    complaint = read_complaint({"error": {**ERROR, "message": message, **more}}, 400, {})

    assert (complaint.cause, complaint.is_certain) == (Cause.INVALID, True)


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ("Something is odd", {}),
        ("The user is on holiday", {}),
        ("Conversation roles must alternate 'user'/'assistant'", {}),
        ("System role not supported", {}),
        ("User location: nowhere", {}),
        ("Tools are not supported by this model", {}),
        ("logprobs is not supported by this model", {}),
        ("x:2b does not support tools", {"param": "tools"}),
        ("image_url is only supported by certain models.", {}),
        ("This model cannot accept `tool_choice`", {}),
        ("Bad request", {"code": "invalid_request_error"}),
        ("Bad request", {"param": "model"}),
    ],
)
def test_a_refusal_that_may_be_of_this_model_or_of_an_account_is_none(message: str, more: dict[str, Any]) -> None:
    complaint = read_complaint({"error": {**ERROR, "message": message, **more}}, 400, {})

    assert (complaint.cause, complaint.is_certain) == (Cause.INVALID, False)
