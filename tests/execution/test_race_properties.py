"""For any chain and any script, the driver does on the event loop what `next_step` does on paper."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.answer import Answer
from deployments.policy.attempt import Candidate
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline
from tests.execution.driving import BACKUP, RESERVES, A, B, clock, let_losers_go, new_state, run, trace
from tests.fakes import Play, run_virtually, scripted
from tests.policy.simulation import OUTCOMES, Part, play

# No sum of these falls on the end of a per-try timeout: the order of two events at the same moment is not promised.
SECONDS = st.just(0.0) | st.just(math.inf) | st.integers(0, 40).map(lambda whole: whole + 0.17)
SCRIPTS = st.tuples(
    st.sampled_from([(), (A,), (BACKUP,), (A, B), (A, BACKUP), (A, B, BACKUP)]),
    st.lists(st.builds(Part, OUTCOMES, SECONDS), min_size=3, max_size=3),
).map(lambda drawn: dict(zip(*drawn, strict=False)))


async def drive(script: dict[Candidate, Part]) -> tuple[Answer, float, int]:
    """The driver's answer, its time, and how many tasks it has left behind."""
    clients = {candidate: scripted(Play(part.outcome, part.seconds)) for candidate, part in script.items()}
    answer, finished = await run(clients, new_state()), clock()
    await let_losers_go()
    return answer, finished, len(asyncio.all_tasks()) - 1


@given(SCRIPTS)
def test_the_driver_gives_the_answer_of_the_rules_at_their_time_and_leaves_nothing_behind(
    script: dict[Candidate, Part],
) -> None:
    expected = play(FallbackChain(tuple(script), Deadline.after(0.0, 30.0, RESERVES)), script)

    answer, finished, left_behind = run_virtually(drive(script))

    assert trace(answer) == expected.outcomes
    assert (answer.result, answer.served_by, answer.model) == (
        expected.answer.result,
        expected.answer.served_by,
        expected.answer.model,
    )
    assert answer.degraded == expected.answer.degraded
    assert finished == pytest.approx(expected.finished, abs=1e-4)
    assert left_behind == 0
