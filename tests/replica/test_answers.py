"""A replica that is well by every other measure and answers nobody is to be replaced."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deployments.execution.attempt import Begun
from deployments.policy.outcome import Answered, Failed, Finished, Outcome, Refused, Rejected
from deployments.replica.answers import FRUITLESS_S, RECENT_S, AnswerCount, FruitlessError
from deployments.replica.replica import SingleReplica
from tests.fakes import a_request

pytestmark = pytest.mark.looptime


class Model:
    """Answers, fails, or hangs, as it is told."""

    mood = "well"

    async def start(self, request: Any, budget_s: float) -> Outcome | Begun:
        if self.mood == "raises":
            raise ValueError("the database is gone")
        if self.mood == "hangs":
            await asyncio.Event().wait()
        return Begun("Hello", self._rest()) if request.stream else Answered("Hello")

    async def _rest(self) -> AsyncGenerator[Any, None]:
        yield Finished()

    def describe(self) -> dict[str, Any]:
        return {}

    def stalled_s(self) -> float:
        return 0.0


def loaded(model: Any) -> SingleReplica:
    """A replica that has loaded `model`, which another thread does, and not on virtual time."""
    replica = SingleReplica("m", lambda: model, 10.0, 600.0)
    replica._load._future.result(10.0)
    return replica


async def ask(replica: SingleReplica, times: int) -> None:
    """Ask again and again, for three seconds each time."""
    for _ in range(times):
        asking = asyncio.ensure_future(replica.infer(a_request(), 3.0))
        await asyncio.sleep(3.0)
        asking.cancel()
        await asyncio.wait([asking])


@pytest.mark.parametrize("mood", ["raises", "hangs"])
async def test_a_replica_that_has_answered_and_fails_or_hangs_every_request_fails_its_health_check(mood: str) -> None:
    model: Any = Model()
    replica = loaded(model)
    await replica.check_health()
    await ask(replica, 1)
    model.mood = mood

    await ask(replica, 5)
    await replica.check_health()
    await ask(replica, 5)
    with pytest.raises(FruitlessError, match="none of the last"):
        await replica.check_health()
    model.mood = "well"
    await ask(replica, 1)
    await replica.check_health()


async def test_a_model_that_never_answered_anybody_is_not_replaced_as_that_would_not_help() -> None:
    model: Any = Model()
    model.mood = "raises"
    replica = loaded(model)

    await ask(replica, 20)

    await replica.check_health()


@pytest.mark.parametrize(("apart_s", "then_s"), [(0.1, 10 * FRUITLESS_S), (RECENT_S + 1.0, 0.0)])
async def test_bad_requests_within_a_moment_or_far_apart_replace_no_replica(apart_s: float, then_s: float) -> None:
    now = [0.0]
    count = AnswerCount(lambda: now[0])
    count.ended(Answered("x"), now[0], "m")
    for _ in range(8):
        now[0] += apart_s
        count.ended(Failed("ValueError"), now[0], "m")
    now[0] += then_s

    count.require_answers("m")


@pytest.mark.parametrize("said", [Refused("busy"), Rejected("no"), Failed("no JSON", misfit=True)])
async def test_what_is_no_failure_of_the_replica_is_not_counted(said: Outcome) -> None:
    now = [0.0]
    count = AnswerCount(lambda: now[0])
    count.ended(Answered("x"), now[0], "m")
    for _ in range(20):
        now[0] += FRUITLESS_S
        count.ended(said, now[0], "m")
        count.given_up(now[0], "m")

    count.require_answers("m")


def test_callers_that_wait_for_less_time_than_answers_take_replace_no_replica() -> None:
    now = [0.0]
    count = AnswerCount(lambda: now[0])
    now[0] += 8.0
    count.ended(Answered("x"), 0.0, "m")
    for _ in range(20):
        now[0] += 5.0
        count.given_up(now[0] - 5.0, "m")
    count.require_answers("m")

    for _ in range(20):
        now[0] += 9.0
        count.given_up(now[0] - 9.0, "m")
    with pytest.raises(FruitlessError):
        count.require_answers("m")


def test_a_model_of_a_pool_that_has_never_answered_does_not_have_the_others_replaced() -> None:
    now = [0.0]
    count = AnswerCount(lambda: now[0])
    count.ended(Answered("x"), 0.0, "well")
    for _ in range(20):
        now[0] += 5.0
        count.ended(Failed("ValueError"), now[0], "broken")

    count.require_answers("pool")
