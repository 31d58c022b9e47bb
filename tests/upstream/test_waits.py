"""The spellings of the time after which a provider wants to be asked again."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.upstream.complaints import read_complaint
from deployments.upstream.waits import MOST_S, to_seconds, wait_of_headers, wait_of_words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20.0),
        ("0.5", 0.5),
        (" 7 ", 7.0),
        ("20s", 20.0),
        ("6ms", 0.006),
        ("1m30s", 90.0),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723.0),
        ("6m0s", 360.0),
        ("20 seconds", 20.0),
        ("1d", MOST_S),
        ('"50"', 50.0),
        ("50, 50", 50.0),
        ("20, 50", 50.0),
        ("50, soon", 0.0),
        ("1,", 0.0),
        ("PT50S", 50.0),
        ("PT1M30.5S", 90.5),
        ("P", 0.0),
        ("PT", 0.0),
        ("999999", MOST_S),
        ("-5", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("1e9", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_a_time_is_read_in_every_spelling(text: str, seconds: float) -> None:
    assert to_seconds(text) == pytest.approx(seconds, abs=0.01)


def test_a_moment_is_read_as_the_seconds_until_then() -> None:
    then = datetime.now(UTC) + timedelta(seconds=20)
    spellings = [
        str(int(time.time()) + 20),
        str(int(time.time() * 1000) + 20_000),
        str((int(time.time()) + 20) * 1_000_000),
        str((int(time.time()) + 20) * 1_000_000_000),
        then.strftime("%Y-%m-%d %H:%M:%S"),
        format_datetime(then, usegmt=True),
        then.isoformat(),
        then.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ]

    assert [to_seconds(spelling) for spelling in spellings] == pytest.approx([20.0] * len(spellings), abs=2.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-reset-requests": "1m30s"}, 90.0),
        ({"x-ratelimit-reset-tokens": "6ms"}, 0.006),
        ({"x-ratelimit-reset": "20"}, 20.0),
        ({"ratelimit-reset": "20"}, 20.0),
        ({"x-ratelimit-reset-tokens-minute": "20"}, 20.0),
        ({"ratelimit": '"default";r=0;t=50'}, 50.0),
        ({"ratelimit": "limit=10, remaining=0, reset=50"}, 50.0),
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "20s"}, 0.012),
        (
            {
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-tokens": "20s",
                "x-ratelimit-remaining-tokens": "0",
            },
            20.0,
        ),
        ({"anthropic-ratelimit-requests-reset": "20", "anthropic-ratelimit-requests-remaining": "0"}, 20.0),
        ({"x-rate-limit-reset": "20"}, 20.0),
        ({"rate-limit-reset": "20"}, 20.0),
        ({"x-ratelimit-retry-after": "20"}, 20.0),
        ({"retry-after-seconds": "20"}, 20.0),
        ({"llm_provider-retry-after": "20"}, 20.0),
        ({"retry-after": "20", "x-ratelimit-retry-after": "50"}, 20.0),
        ({"content-type": "application/json"}, 0.0),
        ({"x-retry-after-policy": "20", "retry-after-requests": "20", "x-operate-limit-reset": "20"}, 0.0),
    ],
)
def test_a_wait_is_found_in_every_header(headers: dict[str, str], seconds: float) -> None:
    assert wait_of_headers(headers, limited=True) == pytest.approx(seconds)


def test_a_reset_is_no_wait_where_no_limit_is_reached() -> None:
    assert wait_of_headers({"x-ratelimit-reset-requests": "6m0s"}, limited=False) == 0.0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-4o. Please try again in 20s. Visit us.", 20.0),
        ("Please try again in 6ms.", 0.006),
        ("Please try again in 1m30.5s.", 90.5),
        ("Please retry after 26 seconds.", 26.0),
        ("Please retry in 33.4s.", 33.4),
        ("Retry after 2 minutes", 120.0),
        ("Please wait 5 seconds before you go on", 5.0),
        ("Retry-After: 50", 50.0),
        ("Please retry after: 50 seconds", 50.0),
        ("You may retry-after 50s", 50.0),
        ("Please try again later.", 0.0),
        ("Retry after 50 attempts", 0.0),
        ("Retry-After: 2x", 0.0),
        ("It takes 20s.", 0.0),
    ],
)
def test_a_wait_is_found_in_words(message: str, seconds: float) -> None:
    assert wait_of_words(message) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "form", ["Try again at {}", "Limit reached; resets at {}.", "Available again after {}, please"]
)
def test_a_moment_is_found_in_words(form: str) -> None:
    then = datetime.now(UTC) + timedelta(seconds=20)
    spellings = [then.isoformat(), then.strftime("%Y-%m-%dT%H:%M:%SZ"), then.strftime("%Y-%m-%d %H:%M:%S UTC")]

    found = [wait_of_words(form.format(spelling)) for spelling in spellings]
    assert found == pytest.approx([20.0] * len(spellings), abs=2.0)


@pytest.mark.parametrize(
    "error",
    [
        {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "RetryInfo", "retryDelay": "20s"}]},
        {"message": "Slow down", "code": "rate_limit_exceeded", "retry_after": 20},
        {"message": "Slow down", "code": "rate_limit_exceeded", "retry_after_ms": 20_000},
        {"message": "Slow down", "code": 429, "metadata": {"headers": {"X-RateLimit-Reset": "20"}}},
        {"message": "Please try again in 20s.", "code": "rate_limit_exceeded"},
        {"type": "usage_limit_reached", "resets_in_seconds": 20},
        {"code": 429, "details": [{"retryDelay": {"seconds": "20", "nanos": 0}}]},
        {"code": 429, "details": [{"metadata": {"quotaResetDelay": "20s"}}]},
        {"message": "Slow down", "retryAfterSeconds": 20},
        {"message": "Slow down", "retry-after": 20},
    ],
)
def test_a_wait_is_found_in_a_body(error: dict[str, Any]) -> None:
    assert read_complaint({"error": error}, 429, {}).retry_after_s == pytest.approx(20.0)


def test_a_moment_is_found_in_a_body() -> None:
    error = {"type": "usage_limit_reached", "message": "Slow down.", "resets_at": int(time.time()) + 20}

    assert read_complaint({"error": error}, 429, {}).retry_after_s == pytest.approx(20.0, abs=2.0)


@given(st.text(max_size=60))
def test_whatever_is_written_there_is_a_time_within_bounds(text: str) -> None:
    for seconds in (to_seconds(text), wait_of_words(text), wait_of_headers({"x-ratelimit-reset": text}, limited=True)):
        assert 0.0 <= seconds <= MOST_S
