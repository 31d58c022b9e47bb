"""The watch of replicas goes on whatever happens to itself, and forgets what has gone."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from deployments.policy.ejection import FAILURES, LOADING_S
from deployments.policy.outcome import NOT_READY, Answered, Outcome, Refused, TimedOut
from deployments.policy.responsiveness import ReplicaPolicy
from deployments.ray_serve.replica_watch import ReplicaWatch

POLICY = ReplicaPolicy(ping_after_seconds=0.5, ping_seconds=1.0)

pytestmark = pytest.mark.looptime


class Mute:
    """A deployment whose only replica answers nothing; to list it may break."""

    def __init__(self) -> None:
        self.pings, self.listed, self.breaks = 0, 0, False

    def hosts(self) -> Mapping[str, str]:
        self.listed += 1
        if self.breaks:
            raise RuntimeError("Serve is being restarted")
        return {"actor": "host"}

    async def ping(self, actor: str, *, afresh: bool) -> None:
        self.pings += 1
        await asyncio.Event().wait()

    async def shake_hands(self, actor: str) -> None:
        raise OSError(f"there is no route to the host of {actor}")


def owing(deployment: Mute) -> ReplicaWatch:
    """A watch with a call that the replica of `deployment` owes an answer."""
    watch = ReplicaWatch()
    watch.add("m", deployment)
    call = watch.open(deployment)
    response: Any = asyncio.Future()
    call.actor, call.response = "actor", response
    return watch


async def running_for(watch: ReplicaWatch, seconds: float) -> None:
    with pytest.raises((TimeoutError, RuntimeError)):
        await asyncio.wait_for(watch.run(lambda: POLICY), seconds)


async def test_a_watch_that_was_restarted_while_a_ping_was_under_way_pings_that_replica_again() -> None:
    mute = Mute()
    watch = owing(mute)
    await running_for(watch, 1.0)
    assert (mute.pings, watch.unresponsive) == (1, frozenset())

    mute.breaks = True
    await running_for(watch, 1.0)
    mute.breaks = False
    await running_for(watch, 3.0)

    assert mute.pings >= 2
    assert watch.unresponsive == {"actor"}


@pytest.mark.parametrize("outcome", [None, TimedOut("its time was over")], ids=["given up", "timed out"])
async def test_a_deadline_shorter_than_answers_take_speaks_against_no_replica_and_a_longer_wait_does(
    outcome: TimedOut | None,
) -> None:
    watch, deployment = ReplicaWatch(), Mute()

    async def call(actor: str, seconds: float, outcome: Outcome | None = outcome) -> None:
        made = watch.open(deployment)
        made.actor = actor
        await asyncio.sleep(seconds)
        made.told(outcome)
        watch.close(made)

    for _ in range(FAILURES):
        await call("another", 2.0, Answered("late, and well"))
    for _ in range(FAILURES):
        await call("actor", 1.0)
    fit_before = watch.is_fit("actor")
    for _ in range(FAILURES):
        await call("actor", 2.5)

    assert (fit_before, watch.is_fit("actor")) == (True, False)


async def test_a_replica_that_has_refused_a_call_as_it_loads_is_passed_over_until_its_state_is_told() -> None:
    watch, deployment = ReplicaWatch(), Mute()
    fit = []
    for soon in (False, True):
        made = watch.open(deployment)
        made.actor = "actor"
        made.told(Refused(NOT_READY + "it is started again", transient=True, soon=soon))
        watch.close(made)
        fit.append(watch.is_fit("actor"))
    await asyncio.sleep(LOADING_S)

    assert (fit, watch.is_fit("actor")) == ([True, False], True)


async def test_a_deployment_that_is_made_anew_takes_the_place_of_the_one_before() -> None:
    gone = Mute()
    watch = owing(gone)
    watch.add("m", Mute())

    await running_for(watch, 1.0)

    assert gone.listed == 0
