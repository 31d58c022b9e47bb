"""A model with a history stands still: nobody waits for it for long, by the default policy, however many ask."""

from functools import cache

import pytest

from tests.simulation.outage import Outage, Waited, run_outage

# Measured by coverage each would take twice as long, and what it runs is measured in the tests of its rooms.
pytestmark = [pytest.mark.timeout(600), pytest.mark.no_cover]


@cache
def outage_of(clients: int, *, stream: bool = False, fallback: bool = True) -> Outage:
    """An outage of 24 seconds; of 8 where many ask, as that is as many requests."""
    policy = {"models": {"a": {"fallbacks": ["b"]}}} if fallback else {}
    many = clients > 16
    return run_outage(
        Outage(clients, 4.0 if many else 30.0, stopped_s=8.0 if many else 24.0, stream=stream, policy=policy)
    )


def longest(waits: list[Waited]) -> float:
    return max(waited.seconds for waited in waits)


@pytest.mark.parametrize("fallback", [False, True], ids=["backup", "fallback"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("clients", [1, 4, 64])
def test_from_the_fourth_second_on_nobody_waits_for_longer_than_another_model_takes(
    clients: int, *, stream: bool, fallback: bool
) -> None:
    outage = outage_of(clients, stream=stream, fallback=fallback)

    answering = "b" if fallback else "backup"
    assert len(outage.since(0.0)) >= outage.stopped_s * clients
    assert longest(outage.since(4.0)) <= 1.5
    assert {waited.answered_by for waited in outage.since(4.0)} == {answering}
    assert outage.openings() >= 1


@pytest.mark.parametrize("clients", [1, 4, 64])
def test_a_request_costs_what_is_several_times_the_models_usual_time_and_after_a_handful_nobody_waits(
    clients: int,
) -> None:
    outage = outage_of(clients)

    assert longest(outage.since(-0.5)) <= 1.25
    assert longest(outage.since(1.5)) <= 0.35


@pytest.mark.parametrize("clients", [1, 4, 64])
def test_a_model_that_goes_on_is_used_again(clients: int) -> None:
    outage = outage_of(clients)

    behind = [waited for waited in outage.waits if waited.at > outage.stops_at + outage.stopped_s + 2.0]
    assert {waited.answered_by for waited in behind[len(behind) // 10 :]} == {"a"}


@pytest.mark.parametrize("clients", [1, 5])
def test_long_answers_after_many_short_ones_open_no_breaker_and_the_short_ones_after_them_are_the_models(
    clients: int,
) -> None:
    policy = {"models": {"a": {"fallbacks": ["b"]}}}
    outage = run_outage(Outage(clients, 12.0, stopped_s=20.0, essays=True, timeout_s=30.0, policy=policy))

    essays, short = outage.since(0.0), [waited for waited in outage.waits if waited.at > 34.0]
    assert len(essays) > 5 * clients
    assert outage.openings() == 0
    assert {waited.answered_by for waited in short[len(short) // 10 :]} == {"a"}


def test_nobody_waits_for_a_model_that_hangs_though_no_caller_bounds_what_it_writes() -> None:
    policy = {"models": {"a": {"fallbacks": ["b"]}}}
    outage = run_outage(Outage(4, 12.0, stopped_s=12.0, max_tokens=None, policy=policy))

    assert longest(outage.since(1.5)) <= 0.35
    behind = [waited for waited in outage.waits if waited.at > 26.0]
    assert {waited.answered_by for waited in behind[len(behind) // 10 :]} == {"a"}


def test_a_pause_of_a_moment_opens_no_breaker_however_many_ask() -> None:
    outage = run_outage(Outage(16, 10.0, stopped_s=1.5, policy={"models": {"a": {"fallbacks": ["b"]}}}))

    assert outage.openings() == 0
    assert longest(outage.waits) <= 1.5
