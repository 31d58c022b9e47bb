"""The waiting room: bounded, nearest deadline first, a few at a time, the better candidate within a short grace."""

import asyncio
from typing import Any

import pytest

from deployments.execution.execution import NotReady
from deployments.policy.attempt import Candidate, Tier
from deployments.router.registered_model import Readiness
from deployments.router.waiting_room import AT_A_TIME, GRACE_S, PAUSE_S, WaitingRoom

pytestmark = pytest.mark.looptime

A, BACKUP = Candidate(Tier.PRIMARY, "a"), Candidate(Tier.BACKUP, "backup")


class Models:
    """Those that are ready."""

    def __init__(self) -> None:
        self.known: dict[Candidate, Readiness] = {}
        self.room = WaitingRoom(lambda candidate: self.known.get(candidate, Readiness.SOON), lambda: 3 * AT_A_TIME)

    def becomes_ready(self, candidate: Candidate, after_s: float, readiness: Readiness = Readiness.NOW) -> None:
        asyncio.get_running_loop().call_later(after_s, self.known.__setitem__, candidate, readiness)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_request_waits_for_whoever_is_ready_first() -> None:
    models = Models()
    models.becomes_ready(BACKUP, 3.0)

    assert await models.room.wait((A, BACKUP), 30.0) == BACKUP
    assert now() == pytest.approx(3.0, abs=PAUSE_S + GRACE_S + 0.01)
    assert models.room.size == 0


async def test_a_better_candidate_that_is_ready_within_the_grace_is_preferred() -> None:
    models = Models()
    models.becomes_ready(BACKUP, 1.0)
    models.becomes_ready(A, 1.0 + GRACE_S / 2)

    assert await models.room.wait((A, BACKUP), 30.0) == A


async def test_nobody_waits_for_those_who_have_failed_for_good() -> None:
    models = Models()
    models.becomes_ready(A, 1.0, Readiness.NEVER)
    models.becomes_ready(BACKUP, 3.0, Readiness.NEVER)

    assert await models.room.wait((A, BACKUP), 30.0) is NotReady.NEVER
    assert now() == pytest.approx(3.0, abs=2 * PAUSE_S)


async def test_nobody_waits_beyond_the_deadline() -> None:
    assert await Models().room.wait((A,), 5.0) is NotReady.TOO_LATE
    assert now() == pytest.approx(5.0)


async def test_an_error_in_looking_is_logged_once_and_ends_the_waiting_of_nobody(events: list[dict[str, Any]]) -> None:
    def breaks(candidate: Candidate) -> Readiness:
        if now() < 2.0 and candidate == A:
            raise RuntimeError("a bug")
        return Readiness.NOW if now() > 1.0 else Readiness.SOON

    room = WaitingRoom(breaks, lambda: 2)
    waiting = asyncio.ensure_future(room.wait((A,), 9.0))
    other = await room.wait((BACKUP,), 9.5)
    after = now()

    assert (other, await waiting) == (BACKUP, A)
    assert (after, now()) == pytest.approx((1.0, 2.0), abs=2 * PAUSE_S)
    assert [line["event"] for line in events] == ["internal_error"]


async def test_where_no_place_is_free_nobody_waits() -> None:
    models = Models()
    waiting = [asyncio.ensure_future(models.room.wait((A,), 9.0)) for _ in range(3 * AT_A_TIME)]
    await asyncio.sleep(0)

    assert await models.room.wait((A,), 9.0) is NotReady.NO_PLACE
    assert now() == 0.0
    assert set(await asyncio.gather(*waiting)) == {NotReady.TOO_LATE}


async def test_a_few_are_let_go_at_a_time_and_the_nearest_deadline_first() -> None:
    models = Models()
    gone: list[float] = []

    async def wait(until: float) -> None:
        assert await models.room.wait((A,), until) == A
        gone.append(until)

    waiting = [asyncio.ensure_future(wait(until)) for until in range(60, 60 - 2 * AT_A_TIME, -1)]
    models.becomes_ready(A, 1.0)
    await asyncio.sleep(1.0 + PAUSE_S)
    first = len(gone)
    await asyncio.gather(*waiting)

    assert first == AT_A_TIME
    assert sorted(gone) == sorted(gone[:AT_A_TIME]) + sorted(gone[AT_A_TIME:])


async def test_a_request_that_is_given_up_leaves_its_place() -> None:
    models = Models()
    waiting = asyncio.ensure_future(models.room.wait((A,), 9.0))
    await asyncio.sleep(1.0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert models.room.size == 0
