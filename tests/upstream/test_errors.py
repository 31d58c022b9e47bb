"""Whose fault an error is: each dialect of `errors.yaml` gets its outcome, and no caller reads of an account."""

from typing import Any

import pytest

from deployments.policy.outcome import WITHHELD, Answered, Failed, Outcome, Refused, Rejected
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.causes import FOR_THE_OPERATOR, Cause
from deployments.upstream.complaints import read_complaint
from deployments.upstream.endpoints import names_of
from deployments.upstream.redaction import Redactor
from tests.upstream.calling import call, stream
from tests.upstream.dialects import ACCOUNT, DIALECTS
from tests.upstream.faulty import FaultyUpstream

LEAST = {"too-long": 30, "operator": 25, "passing": 15, "content": 10, "withheld": 5, "invalid": 8, "unsure": 8}


def check(outcome: Outcome, name: str) -> None:
    """That an outcome is the one of its dialect, and says nothing of an account."""
    dialect = DIALECTS[name]
    match dialect.cause:
        case Cause.TOO_LONG:
            assert isinstance(outcome, Rejected)
            assert (outcome.elsewhere, outcome.code) == (True, "context_length_exceeded")
        case Cause.CONTENT:
            assert isinstance(outcome, Rejected)
            assert (outcome.content, outcome.elsewhere, outcome.code) == (True, False, dialect.code)
        case Cause.WITHHELD:
            assert outcome == Answered(WITHHELD, None, "content_filter")
        case Cause.INVALID:
            assert isinstance(outcome, Rejected)
            is_unsure = name.startswith("error-unsure-")
            assert (outcome.content, outcome.elsewhere, outcome.code) == (False, is_unsure, dialect.code)
        case Cause.RATE_LIMIT:
            assert isinstance(outcome, Refused)
            assert outcome.transient
        case Cause.LOOP:
            assert isinstance(outcome, Refused)
            assert not outcome.transient
        case Cause.BUSY:
            assert isinstance(outcome, (Failed, Refused))
            assert outcome.transient
        case _:
            assert isinstance(outcome, Failed)
            assert not outcome.transient or dialect.cause is Cause.BROKEN
    assert outcome.reason or isinstance(outcome, Answered)
    assert [word for word in ACCOUNT if word in str(outcome).lower()] == []


@pytest.mark.parametrize("name", DIALECTS)
async def test_the_error_of_a_whole_answer_has_its_outcome(
    faulty: FaultyUpstream, name: str, events: list[dict[str, Any]]
) -> None:
    check(await call(faulty, name), name)

    is_operators = DIALECTS[name].cause in FOR_THE_OPERATOR
    assert ("upstream_misconfigured" in [event["event"] for event in events]) is is_operators


@pytest.mark.parametrize("name", [name for name, dialect in DIALECTS.items() if dialect.cause is not Cause.WITHHELD])
async def test_the_error_before_a_stream_is_its_end(faulty: FaultyUpstream, name: str) -> None:
    text, end = await stream(faulty, name)

    assert text == ""
    assert not isinstance(end, str)
    check(end, name)  # type: ignore[arg-type]  # no stream has finished


def test_every_kind_of_error_has_its_dialects() -> None:
    for kind, least in LEAST.items():
        assert sum(name.startswith(f"error-{kind}-") for name in DIALECTS) >= least


@pytest.mark.parametrize(
    ("codes", "message", "cause"),
    [
        ({"type": "invalid_request_error", "code": "rate_limit_exceeded"}, "", Cause.RATE_LIMIT),
        ({"type": "invalid_request_error", "code": "model_not_found"}, "", Cause.UNKNOWN_MODEL),
        ({"type": "invalid_request_error"}, "Your credit balance is too low.", Cause.NO_CREDIT),
        ({"type": "api_error"}, "prompt is too long: 9 tokens > 8 maximum", Cause.TOO_LONG),
        ({"type": "invalid_request_error", "code": 429}, "", Cause.RATE_LIMIT),
        ({"type": "insufficient_quota"}, "maximum context length", Cause.NO_CREDIT),
    ],
)
def test_a_precise_code_or_word_goes_before_a_catch_all_type(codes: Any, message: str, cause: Cause) -> None:
    assert read_complaint({"error": {**codes, "message": message}}, 400, {}).cause is cause


@pytest.mark.parametrize(
    ("code", "param", "message"),
    [
        (
            "invalid_function_parameters",
            "tools[0].function.parameters",
            "Invalid schema for function 'payment': no type.",
        ),
        ("invalid_function_parameters", None, "Invalid schema for function moderation: it has no type."),
        (
            "invalid_value",
            "messages[0].role",
            "Invalid value: 'rate limit, try again in 900s'. Supported values are 'user'.",
        ),
        ("invalid_value", None, "Invalid value: rate limit, try again in 900s."),
        ("invalid_image_url", None, "Timed out while downloading image."),
        (None, "tools[0]", "Invalid schema for function payment: it has no type."),
        (None, None, "Invalid value: 'out of credits, billing'."),
        (None, None, "Invalid value: `overloaded, try again in 900s`."),
    ],
)
def test_what_a_provider_repeats_of_a_request_is_no_word_of_its_own(code: Any, param: Any, message: str) -> None:
    error = {"type": "invalid_request_error", "code": code, "param": param, "message": message}

    for status in (400, 422):
        assert read_complaint({"error": error}, status, {}).cause is Cause.INVALID


@pytest.mark.parametrize(
    ("field", "cause"),
    [
        ("tools[0].function.name", Cause.INVALID),
        ("messages[2].tool_calls[0].id", Cause.INVALID),
        ("prompt_cache_key", Cause.INVALID),
        ("messages[0].content", Cause.TOO_LONG),
        ("messages[2].content[0].text", Cause.TOO_LONG),
        ("input", Cause.TOO_LONG),
    ],
)
def test_a_name_that_is_too_long_for_every_model_is_no_prompt_that_is(field: str, cause: Cause) -> None:
    said = f"Invalid '{field}': string too long. Expected a string with maximum length 64, but got one of length 74."
    error = {"type": "invalid_request_error", "code": "string_above_max_length", "message": said}

    for param in (field, None):
        assert read_complaint({"error": error | {"param": param}}, 400, {}).cause is cause


def test_an_error_within_a_quoted_error_is_read() -> None:
    said = "Error code: 400 - {'error': {'message': 'prompt is too long: 9 tokens > 8 maximum', 'type': 'x'}}"

    assert read_complaint({"error": {"message": said}}, 400, {}).cause is Cause.TOO_LONG


def test_a_refusal_that_names_the_account_and_no_field_is_not_the_callers() -> None:
    assert read_complaint({"error": "This account has open invoices."}, 400, {}).cause is Cause.PERMISSION
    about_a_field = {"error": {"message": "No account has this id.", "param": "user"}}
    assert read_complaint(about_a_field, 400, {}).cause is Cause.INVALID


def test_a_status_within_an_error_makes_no_rejected_request_of_an_answer_that_a_filter_has_stopped() -> None:
    error = {"error": {"message": "Input was flagged", "code": 403}}

    assert read_complaint(error, 200, {}).cause is Cause.WITHHELD
    assert read_complaint(error, 403, {}).cause is Cause.CONTENT


def test_an_error_is_read_within_bounds() -> None:
    deep: Any = {"error": "x" * 100_000}
    for _ in range(100):
        deep = {"error": deep, "message": "y" * 100_000}

    assert len(read_complaint(deep, 400, {}).message) <= 4000


def test_a_wide_error_is_read_within_bounds() -> None:
    wide = {"errors": [{"message": f"{place}", "details": [{"message": "x"}] * 100} for place in range(10_000)]}

    assert len(read_complaint(wide, 400, {}).codes) < 100


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("See our billing page at https://acme.example.com.", ""),
        ("See https://acme.example.com/docs for more.", "See for more."),
        ("In organization org-acme the limit is 3.", ""),
        ("'temperature' is not taken by gpt-acme-prod.", "'temperature' is not taken by hosted."),
        ("The key sk-secret is bad.", ""),
        (
            "top_k is no integer. Received Model Group=acme-prod\nAvailable Model Group Fallbacks=['acme-eu']",
            "top_k is no integer",
        ),
        ("connect to 10.0.0.7:8000 failed", "connect to failed"),
        ("connect to gpu-7.internal:8000 failed", "connect to failed"),
    ],
)
def test_a_caller_reads_a_providers_words_without_addresses_names_and_accounts(said: str, told: str) -> None:
    assert Redactor(["sk-secret"], {"gpt-acme-prod": "hosted"}).for_callers(said) == told


def test_the_names_of_hosts_deployments_and_models_are_the_operators() -> None:
    url = "https://acme.openai.azure.com/openai/deployments/acme-prod"
    spec = RemoteSpec(base_url=url, model="gpt-acme")

    assert names_of(spec, "hosted") == {
        "acme.openai.azure.com": "its host",
        "acme-prod": "hosted",
        "gpt-acme": "hosted",
    }


def test_a_code_and_a_field_are_told_where_they_are_short_names_and_none_of_the_operators() -> None:
    redactor = Redactor(["sk-secret"], {"acme-prod": "hosted"})

    codes = ("invalid_value", "acme-prod", "deployment acme-prod-eu rejected it", "sk-secret", "x" * 65, "INVALID.ARG")
    assert redactor.codes(codes) == ("invalid_value", "INVALID.ARG")
    assert [redactor.path(param) for param in ("tools[0].function", "acme-prod", "of deployment x")] == [
        "tools[0].function",
        "",
        "",
    ]


def test_a_reason_in_a_providers_words_tells_the_cause_and_is_no_code() -> None:
    error = {"message": "No.", "reason": "rate_limit_exceeded", "type": "invalid_request_error"}

    complaint = read_complaint({"error": error}, 400, {})

    assert complaint.cause is Cause.RATE_LIMIT
    assert complaint.codes == ("invalid_request_error",)
