"""The driver, on virtual time: it starts, races and cancels attempts as `next_step` says, and leaves nothing behind."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pytest

from deployments.execution.execution import NotReady
from deployments.execution.race import MAX_READY_ATTEMPTS, NO_PLACE_RETRY_AFTER_S
from deployments.execution.whole import run_chain
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Failed, Refused
from tests.execution.driving import (
    ANSWER_BY,
    BACKUP,
    CUT_OVER,
    REQUEST,
    RESERVES,
    A,
    an_execution,
    clock,
    let_losers_go,
    run,
    trace,
)
from tests.fakes import Play, answers, fails, hangs, raises, refuses, returns_blank, scripted

pytestmark = pytest.mark.looptime(idle_timeout=1)  # a driver that waits for ever fails instead of hanging


async def test_a_model_that_answers_is_the_only_one_asked() -> None:
    first, backup = scripted(answers("from a", after=2.0)), scripted(answers())

    answer = await run({A: first, BACKUP: backup})

    assert (answer.result, answer.served_by, answer.degraded) == ("from a", Tier.PRIMARY, False)
    assert (clock(), backup.calls) == (2.0, [])


async def test_an_attempt_gets_the_request_and_what_is_left_of_the_deadline() -> None:
    first, backup = scripted(fails(after=3.0)), scripted(answers())

    await run({A: first, BACKUP: backup})

    assert [(call.request, call.budget_s) for call in first.calls] == [(REQUEST, ANSWER_BY)]
    assert [(call.request, call.budget_s) for call in backup.calls] == [(REQUEST, ANSWER_BY - 3.0)]


@pytest.mark.parametrize(
    ("play", "outcome"),
    [
        (fails(after=3.0), "failed"),
        (returns_blank(after=3.0), "blank"),
        (refuses(after=3.0), "refused"),
        (raises(RuntimeError("boom"), after=3.0), "failed"),
    ],
    ids=["error", "blank", "refused", "raises"],
)
async def test_a_model_that_does_not_answer_hands_over_at_once(play: Play, outcome: str) -> None:
    backup = scripted(answers("from the backup", after=1.0))

    answer = await run({A: scripted(play), BACKUP: backup})

    assert backup.calls[0].started == 3.0
    assert clock() == 4.0
    assert trace(answer) == [("a", outcome), ("backup", "answered")]
    assert (answer.result, answer.degraded) == ("from the backup", True)


async def test_a_hung_primary_still_runs_when_the_backup_is_started_at_cut_over() -> None:
    hung, backup = scripted(hangs()), scripted(answers("from the backup", after=2.0))

    answer = await run({A: hung, BACKUP: backup})
    await let_losers_go()

    assert backup.calls[0].started == pytest.approx(CUT_OVER)
    assert hung.calls[0].cancelled == pytest.approx(CUT_OVER + 2.0)
    assert trace(answer) == [("a", "timed_out"), ("backup", "answered")]


async def test_a_slow_primary_may_win_over_the_backup() -> None:
    slow, backup = scripted(answers("from a", after=24.0)), scripted(hangs())

    answer = await run({A: slow, BACKUP: backup})

    assert (answer.result, answer.degraded, clock()) == ("from a", False, 24.0)
    assert trace(answer) == [("a", "answered"), ("backup", "cancelled")]


async def test_the_loser_is_cancelled_at_once() -> None:
    slow, backup = scripted(answers("from a", after=24.0)), scripted(hangs())

    await run({A: slow, BACKUP: backup})
    await let_losers_go()

    assert backup.calls[0].cancelled == 24.0


async def test_a_loser_that_is_slow_to_stop_does_not_hold_up_the_answer() -> None:
    hung = scripted(hangs(), lingers_s=100.0)

    await run({A: hung, BACKUP: scripted(answers(after=2.0))})

    assert clock() == pytest.approx(CUT_OVER + 2.0)


async def test_a_loser_that_dies_of_its_cancellation_is_logged(events: list[dict[str, Any]]) -> None:
    hung = scripted(hangs(), dies_with=RuntimeError("cannot let go"))

    answer = await run({A: hung, BACKUP: scripted(answers("from the backup"))})
    await asyncio.sleep(1.0)

    assert answer.result == "from the backup"
    assert [(event["event"], event["reason"]) for event in events] == [("internal_error", "cannot let go")]


async def test_when_nobody_answers_the_last_resort_does_at_answer_by() -> None:
    answer = await run({A: scripted(hangs()), BACKUP: scripted(hangs())})

    assert clock() == pytest.approx(ANSWER_BY)
    assert (answer.result, answer.served_by) == ("Sorry, none of our models can answer.", Tier.LAST_RESORT)
    assert trace(answer) == [("a", "timed_out"), ("backup", "timed_out")]


async def test_when_all_fail_the_last_resort_answers_at_once() -> None:
    answer = await run({A: scripted(fails(after=1.0)), BACKUP: scripted(raises(OSError("gone"), after=1.0))})

    assert clock() == 2.0
    assert answer.served_by is Tier.LAST_RESORT
    assert trace(answer) == [("a", "failed"), ("backup", "failed")]


async def test_a_chain_of_nobody_is_answered_by_the_last_resort_at_once() -> None:
    answer = await run({})

    assert (answer.served_by, clock()) == (Tier.LAST_RESORT, 0.0)


async def test_a_model_client_that_raises_is_logged_as_an_internal_error(events: list[dict[str, Any]]) -> None:
    answer = await run({A: scripted(raises(RuntimeError("boom"))), BACKUP: scripted(answers())})

    assert answer.attempts[0].outcome == Failed("internal error: RuntimeError")
    assert [(event["event"], event["model"], event["reason"]) for event in events] == [("internal_error", "a", "boom")]


async def test_a_call_that_is_cancelled_from_outside_is_a_failed_attempt() -> None:
    cancelled, well = raises(asyncio.CancelledError()), answers("from a")

    answer = await run({A: scripted(cancelled, well), BACKUP: scripted(answers())})

    assert trace(answer) == [("a", "failed"), ("a", "answered")]
    assert answer.attempts[0].outcome == Failed("the call was cancelled from outside", transient=True)


async def test_a_candidate_that_cannot_be_reached_at_all_is_a_failed_attempt() -> None:
    clients = {BACKUP: scripted(answers("from the backup"))}
    chain = FallbackChain((A, BACKUP), Deadline.after(clock(), 30.0, RESERVES))

    answer = await run_chain(an_execution(chain, clients))

    assert trace(answer) == [("a", "failed"), ("backup", "answered")]


@pytest.mark.parametrize(
    ("first", "second"),
    [(hangs(), hangs()), (hangs(), answers()), (answers(after=25.0), hangs()), (fails(), raises(OSError("gone")))],
    ids=["last resort", "backup", "primary", "all failed"],
)
async def test_no_task_is_left_behind_after_an_answer(first: Play, second: Play) -> None:
    never_asked_for: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: never_asked_for.append(context))

    await run({A: scripted(first), BACKUP: scripted(second)})
    await let_losers_go()
    gc.collect()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert never_asked_for == []


# --- the caller goes away ---------------------------------------------------------------------------


async def test_a_caller_that_goes_away_cancels_every_attempt() -> None:
    hung, backup = scripted(hangs()), scripted(hangs())
    request = asyncio.create_task(run({A: hung, BACKUP: backup}))
    await asyncio.sleep(25.0)

    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await let_losers_go()

    assert [hung.calls[0].cancelled, backup.calls[0].cancelled] == [25.0, 25.0]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_many_requests_at_a_time_do_not_disturb_each_other() -> None:
    models = [scripted(answers(f"answer {n}", after=float(n))) for n in range(1, 19)]

    given = await asyncio.gather(*(run({A: model, BACKUP: scripted(fails())}) for model in models))

    assert [answer.result for answer in given] == [f"answer {n}" for n in range(1, 19)]
    assert clock() == 18.0


async def test_a_request_waits_for_a_candidate_that_starts_and_is_answered_by_it() -> None:
    starting, ready = scripted(Play(Refused("not ready", soon=True)), answers("from a")), asyncio.Event()

    async def wait_ready(candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        assert (candidates, until) == ((A,), ANSWER_BY)
        await asyncio.sleep(7.0)
        ready.set()
        return A

    chain = FallbackChain((A, BACKUP), Deadline.after(clock(), 30.0, RESERVES))
    clients = {A: starting, BACKUP: scripted(fails())}
    answer = await run_chain(an_execution(chain, clients, wait_ready=wait_ready))

    assert (answer.result, answer.degraded, clock()) == ("from a", False, 7.0)
    assert [attempt.why.value for attempt in answer.attempts] == ["next", "next", "ready"]
    assert ready.is_set()


async def test_a_candidate_that_is_ready_and_refuses_is_asked_again_after_pauses_and_not_for_ever() -> None:
    full = scripted(Play(Refused("its queue is full", soon=True)))

    async def at_once(candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        return candidates[0]

    chain = FallbackChain((A,), Deadline.after(clock(), 300.0, RESERVES))
    answer = await run_chain(an_execution(chain, {A: full}, wait_ready=at_once))

    assert answer.served_by is Tier.LAST_RESORT
    assert len(answer.attempts) == 1 + MAX_READY_ATTEMPTS
    assert clock() > MAX_READY_ATTEMPTS


async def test_where_those_waited_for_have_failed_for_good_the_first_is_asked_once_more_and_says_why() -> None:
    failing = scripted(Play(Refused("not ready", soon=True)), Play(Refused("it failed to start: no such file")))

    async def never(candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        await asyncio.sleep(1.0)
        return NotReady.NEVER

    chain = FallbackChain((A,), Deadline.after(clock(), 30.0, RESERVES))
    answer = await run_chain(an_execution(chain, {A: failing}, wait_ready=never))

    assert (answer.served_by, clock()) == (Tier.LAST_RESORT, 1.0)
    assert [attempt.outcome.reason for attempt in answer.attempts] == ["not ready", "it failed to start: no such file"]


async def test_a_request_that_finds_no_place_to_wait_is_told_when_to_come_again() -> None:
    async def full(candidates: Sequence[Candidate], until: float) -> Candidate | NotReady:
        return NotReady.NO_PLACE

    chain = FallbackChain((A,), Deadline.after(clock(), 30.0, RESERVES))
    loading = scripted(Play(Refused("not ready", soon=True)))
    answer = await run_chain(an_execution(chain, {A: loading}, wait_ready=full))

    assert (answer.served_by, answer.retry_after_s, clock()) == (Tier.LAST_RESORT, NO_PLACE_RETRY_AFTER_S, 0.0)
