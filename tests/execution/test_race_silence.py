"""The driver and silences, on virtual time: who is waited for, who runs on, and what is evidence."""

import asyncio

import pytest

from deployments.execution.whole import run_chain
from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate, Why
from deployments.policy.breaker import BreakerPolicy, Closed, Open
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Blank, Failed
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.silence import SilencePolicy
from deployments.request import InferenceRequest
from tests.execution.driving import BACKUP, REQUEST, RESERVES, A, B, an_execution, clock, new_state, run, trace
from tests.fakes import Play, ScriptedClient, a_request, answers, hangs, scripted

pytestmark = pytest.mark.looptime(idle_timeout=1)  # a driver that waits for ever fails instead of hanging

PATIENCE = SilencePolicy(factor=3.0, least_seconds=0.5, min_samples=20)


async def a_known_state(failures: int = 3) -> ResilienceState:
    """A state that knows `a` as a model that takes a second, so that a silence of 3 s is too long."""
    policy = ResiliencePolicy(BreakerPolicy(failures=failures, open_seconds=10.0), silence=PATIENCE)
    resilience = ResilienceState(policy, lambda *_: None, BACKUP.model, lambda: 0.5)
    for _ in range(30):
        await run({A: scripted(answers(after=1.0))}, resilience)
    return resilience


async def ask(
    clients: dict[Candidate, ScriptedClient], resilience: ResilienceState, seconds: float = 30.0, **options: float
) -> Answer:
    chain = FallbackChain(tuple(clients), Deadline.after(clock(), seconds, RESERVES), usual_s=30.0, **options)  # type: ignore[arg-type]
    return await run_chain(an_execution(chain, clients, resilience))


async def test_a_hung_model_with_a_history_costs_a_request_what_is_several_times_its_usual_time_and_no_more() -> None:
    resilience = await a_known_state()
    began = clock()

    answer = await run({A: scripted(hangs()), B: scripted(answers("from b"))}, resilience)

    assert (answer.result, clock() - began) == ("from b", 3.0)
    assert [attempt.why for attempt in answer.attempts] == [Why.NEXT, Why.FAILOVER]


async def test_after_its_first_silence_nobody_waits_and_after_a_handful_its_breaker_is_open() -> None:
    resilience, model = await a_known_state(), scripted(hangs())
    await run({A: model, B: scripted(answers("from b"))}, resilience)
    began = clock()

    while not isinstance(resilience.state("a"), Open):
        asked = clock()
        assert (await run({A: model, B: scripted(answers("from b", after=0.1))}, resilience)).result == "from b"
        assert clock() - asked == pytest.approx(0.1)

    assert clock() - began < 5.0


async def test_the_losers_of_hedges_say_something() -> None:
    resilience, model = await a_known_state(), scripted(hangs())

    for _ in range(3):
        await ask({A: model, B: scripted(answers("hedged"))}, resilience, hedge_after_s=1.0)
        await asyncio.sleep(4.0)

    assert isinstance(resilience.state("a"), Open)


async def test_a_burst_that_is_overtaken_and_then_answered_opens_no_breaker_and_is_learned_from() -> None:
    resilience, model = await a_known_state(failures=1), scripted(answers("late", after=3.5))

    await asyncio.gather(
        *(ask({A: model, B: scripted(answers("hedged"))}, resilience, hedge_after_s=1.0) for _ in range(12))
    )
    await asyncio.sleep(4.0)

    assert resilience.describe("a")["in_flight"] == 0
    assert [type(resilience.state("a")), sum(call.cancelled is None for call in model.calls)] == [Open, 2]
    await asyncio.sleep(0.0)
    recovered = await run({A: scripted(answers("well")), B: scripted(answers("b", after=1.0))}, resilience)
    assert recovered.result == "well"
    assert isinstance(resilience.state("a"), Closed)


async def test_a_silence_of_a_moment_opens_no_breaker_by_default() -> None:
    resilience, model = await a_known_state(failures=5), scripted(answers("late", after=3.5))

    await asyncio.gather(*(run({A: model, B: scripted(answers("b"))}, resilience) for _ in range(12)))
    await asyncio.sleep(1.0)

    state = resilience.state("a")
    assert isinstance(state, Closed)
    assert state.failures == 0


async def test_what_runs_on_ends_with_the_deadline_of_its_request() -> None:
    resilience, model = await a_known_state(), scripted(hangs())
    began = clock()

    await ask({A: model, B: scripted(answers("b"))}, resilience, seconds=10.0)
    await asyncio.sleep(20.0)

    assert model.calls[0].cancelled is not None
    assert model.calls[0].cancelled - began <= 10.0
    assert resilience.describe("a")["in_flight"] == 0


async def test_a_caller_that_goes_away_takes_those_that_would_run_on_with_it() -> None:
    resilience, model = await a_known_state(), scripted(hangs())
    asking = asyncio.create_task(run({A: model, B: scripted(hangs())}, resilience))
    await asyncio.sleep(1.0)

    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(0.0)

    assert model.calls[0].cancelled is not None


# --- whole answers of any length ---------------------------------------------------------------------

ESSAY = "word " * 160


@pytest.mark.parametrize("max_tokens", [None, 200])
async def test_long_answers_after_many_short_ones_open_no_breaker_of_a_model_that_is_well(
    max_tokens: int | None,
) -> None:
    resilience, model = await a_known_state(failures=5), scripted(answers(ESSAY, after=25.0))
    essay = a_request("An essay, please.", max_tokens=max_tokens)

    async def ask_later(after: float, request: InferenceRequest) -> Answer:
        await asyncio.sleep(after)
        return await run({A: model, B: scripted(answers("from b", after=2.0))}, resilience, request)

    answered = await asyncio.gather(*(ask_later(1.5 * place, essay) for place in range(8)))
    well = resilience.state("a")
    model.script[:] = [answers("short", after=0.1)]
    short = await ask_later(0.0, REQUEST)

    assert [each.result for each in answered] == ["from b"] * 8
    assert isinstance(well, Closed)
    assert short.result == "short"


async def test_a_model_that_hangs_fails_at_what_was_asked_by_its_usual_pace_and_nobody_waits_until_then() -> None:
    resilience, model = await a_known_state(failures=2), scripted(hangs())
    asked = a_request("Five words, please.", max_tokens=5)  # 15 s, at three times a second for each
    began = clock()

    for _ in range(12):
        await run({A: model, B: scripted(answers("from b", after=0.1))}, resilience, asked)
        spent = clock() - began
        await asyncio.sleep(1.0)
    early = resilience.state("a")
    await asyncio.sleep(4.0)

    assert spent < 3.0 + 12 * 1.2
    assert isinstance(early, Closed)
    assert isinstance(resilience.state("a"), Open)


async def test_a_model_that_gives_no_texts_fails_by_what_it_usually_takes_whatever_its_callers_bound() -> None:
    policy = ResiliencePolicy(BreakerPolicy(failures=1), silence=PATIENCE)
    resilience = ResilienceState(policy, lambda *_: None, BACKUP.model, lambda: 0.5)
    for _ in range(30):
        await run({A: scripted(answers(0.5, after=1.0))}, resilience)

    await run({A: scripted(hangs()), B: scripted(answers(0.7))}, resilience, a_request())

    assert isinstance(resilience.state("a"), Open)


# --- what a caller imposes --------------------------------------------------------------------------


async def test_twelve_callers_who_wait_for_a_second_leave_a_model_that_takes_longer_to_those_who_wait() -> None:
    resilience, model = new_state(failures=5), scripted(answers("from a", after=1.5))

    for _ in range(12):
        hurried = await ask({A: model, BACKUP: scripted(answers("b"))}, resilience, seconds=1.0)
        assert trace(hurried)[0] == ("a", "timed_out")

    assert resilience.state("a") == Closed()
    assert (await run({A: model}, resilience)).result == "from a"


async def test_those_who_wait_for_as_long_as_is_usual_open_the_breaker_of_a_model_that_hangs() -> None:
    resilience = new_state(failures=2)

    for _ in range(2):
        await ask({A: scripted(hangs()), BACKUP: scripted(answers("b"))}, resilience)

    assert isinstance(resilience.state("a"), Open)


@pytest.mark.parametrize("outcome", [Failed("boom"), Blank()])
async def test_what_a_model_does_within_a_short_deadline_is_its_own(outcome: Failed | Blank) -> None:
    resilience = new_state(failures=1)

    await ask({A: scripted(Play(outcome)), BACKUP: scripted(answers("b"))}, resilience, seconds=1.0)

    assert isinstance(resilience.state("a"), Open)


async def test_a_probe_under_a_short_deadline_decides_nothing() -> None:
    resilience = new_state(failures=1)
    await run({A: scripted(Play(Failed("boom")))}, resilience)
    await asyncio.sleep(10.0)

    await ask({A: scripted(answers(after=1.5)), BACKUP: scripted(answers("b"))}, resilience, seconds=1.0)
    await asyncio.sleep(2.0)

    assert (await run({A: scripted(answers("well"))}, resilience)).result == "well"
    assert isinstance(resilience.state("a"), Closed)
