"""What counts against an endpoint, and how far one attempt goes."""

import asyncio

import pytest

from deployments.policy.breaker import Admission, Closed
from deployments.policy.outcome import Answered, Blank, Failed, Outcome
from deployments.policy.terms import ANY_TERMS, Terms
from deployments.upstream.endpoints import Try
from deployments.upstream.tries import MOST_TRIES
from tests.upstream.test_endpoints import BROKEN, Asked, endpoints

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("outcome", [Blank(cut=True), Failed("half a call", cut=True)])
async def test_what_a_caller_imposes_is_no_evidence_against_an_endpoint(outcome: Outcome) -> None:
    several, asked = endpoints(1, 1), Asked({0: outcome, 1: outcome})

    for _ in range(12):
        await several.ask(asked, "", Terms(max_tokens=4))

    assert [endpoint.to_json()["breaker"] for endpoint in several.all] == ["closed", "closed"]
    assert len(asked.places) == 12


async def test_a_whole_answer_is_not_silent_for_the_time_that_first_content_takes() -> None:
    several = endpoints(1, 1)

    async def ask_one(tried: Try) -> Outcome:
        await asyncio.sleep(0.1 if tried.terms.streamed else 60.0)
        return Answered("fine")

    await several.ask(ask_one, "", Terms(streamed=True))
    for _ in range(12):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await several.ask(ask_one, "")

    assert [endpoint.to_json()["breaker"] for endpoint in several.all] == ["closed", "closed"]


async def test_long_whole_answers_after_many_short_ones_are_no_evidence_against_an_endpoint() -> None:
    several, seconds = endpoints(1, 1), [0.1]

    async def ask_one(_: Try) -> Outcome:
        await asyncio.sleep(seconds[0])
        return Answered("fine")

    for _ in range(30):
        await several.ask(ask_one, "", Terms(max_tokens=4))
    seconds[0] = 60.0
    for _ in range(12):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20.0):
                await several.ask(ask_one, "", ANY_TERMS, 20.0)

    assert [endpoint.to_json()["breaker"] for endpoint in several.all] == ["closed", "closed"]


async def test_streams_that_break_together_are_one_event_of_their_endpoint_and_old_ones_none() -> None:
    several, asked, tries = endpoints(1, 1), Asked(), []

    async def ask_one(tried: Try) -> Outcome:
        tries.append(tried)
        return await asked(tried)

    await asyncio.gather(*(several.ask(ask_one, "key") for _ in range(6)))
    await asyncio.sleep(60)
    for tried in tries:
        several.broke(tried, BROKEN)
    states = [endpoint.to_json()["breaker"] for endpoint in several.all]
    for tried in tries:
        several.broke(replace_epoch(tried), BROKEN)

    assert states == ["closed", "closed"]
    assert [endpoint.state.failures for endpoint in several.all if isinstance(endpoint.state, Closed)] in (
        [1, 0],
        [0, 1],
    )


def replace_epoch(tried: Try) -> Try:
    return Try(tried.endpoint, Admission(tried.admission.epoch + 1, probe=False), tried.started + 60, tried.terms)


async def test_an_attempt_asks_few_of_many_endpoints_and_one_for_a_misfit() -> None:
    several, asked = endpoints(*[1.0] * 9), Asked(dict.fromkeys(range(9), BROKEN))
    assert await several.ask(asked, "") == BROKEN
    assert len(asked.places) == MOST_TRIES

    several, asked = endpoints(1, 1), Asked(dict.fromkeys(range(2), Failed("no JSON", misfit=True)))
    await several.ask(asked, "")
    assert len(asked.places) == 1
