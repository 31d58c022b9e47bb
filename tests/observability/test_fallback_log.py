"""The last fallbacks of a router: the newest first, within a bound, and without anything that was said."""

from typing import Any

import pytest

from deployments.observability.fallback_log import FallbackLog, FallbackQuery, merge_fallbacks
from tests.clock import FakeClock


def facts(asked: str = "a", model: str = "backup") -> dict[str, Any]:
    return {"asked": asked, "model": model, "attempts": []}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


@pytest.fixture
def kept(clock: FakeClock) -> FallbackLog:
    """Three fallbacks, one a second; the log has room for three."""
    log = FallbackLog(clock, places=3)
    for asked in ("a", "b", "a"):
        clock.now += 1
        log.add(facts(asked))
    return log


def asked_in(told: dict[str, Any]) -> list[str]:
    return [each["asked"] for each in told["fallbacks"]]


def test_the_newest_come_first_within_the_limit(kept: FallbackLog) -> None:
    told = kept.find(FallbackQuery(limit=2))

    assert asked_in(told) == ["a", "b"]
    assert [each["time"] for each in told["fallbacks"]] == ["1970-01-01T00:01:43.000Z", "1970-01-01T00:01:42.000Z"]


def test_a_query_for_a_model_finds_what_it_was_asked_for_and_what_it_has_answered(kept: FallbackLog) -> None:
    assert asked_in(kept.find(FallbackQuery(model="b"))) == ["b"]
    assert asked_in(kept.find(FallbackQuery(model="backup"))) == ["a", "b", "a"]
    assert asked_in(kept.find(FallbackQuery(model="c"))) == []


def test_what_was_before_the_time_is_not_found(kept: FallbackLog) -> None:
    assert asked_in(kept.find(FallbackQuery(since=102.0))) == ["a", "b"]


def test_the_oldest_makes_room_and_since_when_the_log_is_whole_is_told(kept: FallbackLog, clock: FakeClock) -> None:
    assert kept.find(FallbackQuery())["complete_since"] == 100.0

    kept.add(facts("d"))

    told = kept.find(FallbackQuery())
    assert asked_in(told) == ["d", "a", "b"]
    assert told["complete_since"] == 101.0


def test_the_fallbacks_of_several_routers_are_one_list_which_is_whole_since_the_last_of_them_is(
    kept: FallbackLog, clock: FakeClock
) -> None:
    other = FallbackLog(clock, places=3)
    clock.now += 1
    other.add(facts("other"))
    query = FallbackQuery(limit=3)

    told = merge_fallbacks([kept.find(query), other.find(query)], query)

    assert asked_in(told) == ["other", "a", "b"]
    assert told["complete_since"] == "1970-01-01T00:01:43.000Z"
