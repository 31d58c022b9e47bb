"""A machine's clock may be set back: nothing that was counted is forgotten, and nobody waits for the time to return."""

from collections.abc import Awaitable, Sequence

import pytest

from deployments.access.clock import SteadyClock
from deployments.access.counts import Table
from deployments.access.gate import Gate
from deployments.access.holder import Holder
from deployments.access.measure import Measure
from deployments.access.rights import Rights
from deployments.policy.problem import InvalidRequestError
from tests.fakes import a_request

NOON = 1_780_000_000 - 1_780_000_000 % 86_400 + 43_200.0


class Machine:
    """What its clock shows, and how long it has been running."""

    def __init__(self) -> None:
        self.shows, self.runs = NOON, 0.0

    def passes(self, seconds: float) -> None:
        self.shows += seconds
        self.runs += seconds


def test_a_clock_that_is_set_back_goes_on_at_half_the_pace_until_it_is_right_again() -> None:
    machine = Machine()
    clock = SteadyClock(lambda: machine.shows, lambda: machine.runs)
    told = [clock()]
    machine.shows -= 60.0
    for _ in range(15):
        machine.passes(10.0)
        told.append(clock())

    assert told[:3] == [NOON, NOON + 5.0, NOON + 10.0]
    assert told[-3:] == [NOON + 70.0, NOON + 80.0, NOON + 90.0]
    assert machine.shows == NOON + 90.0


def test_a_clock_that_is_set_on_is_followed_at_once() -> None:
    machine = Machine()
    clock = SteadyClock(lambda: machine.shows, lambda: machine.runs)
    machine.shows += 3600.0

    assert clock() == NOON + 3600.0


@pytest.mark.parametrize("back_s", [61.0, 86_400.0])
async def test_a_clock_that_is_set_back_forgets_nothing_that_was_counted(back_s: float) -> None:
    def exchange(_: list[Table]) -> Awaitable[Sequence[Sequence[Table]]]:
        raise ConnectionError("there is no other router")

    machine = Machine()
    limits = {Measure.REQUESTS: 2.0, Measure.DAY_TOKENS: 10_000.0}
    gate = Gate("r", exchange, lambda *_: None, clock=lambda: machine.shows)
    holder = Holder("a", "id", Rights(1), limits)
    for _ in range(2):
        await gate.let_in(holder, a_request(), "m")
    left = gate.left(holder, Measure.DAY_TOKENS)[0]

    machine.shows -= back_s

    with pytest.raises(InvalidRequestError):
        await gate.let_in(holder, a_request(), "m")
    assert gate.left(holder, Measure.DAY_TOKENS)[0] == left
