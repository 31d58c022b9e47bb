"""A request that was let in: what it has reserved, until it has ended."""

from collections.abc import Mapping

from deployments.access.claims import Reserved
from deployments.access.clock import Clock
from deployments.access.counts import KeyCounts
from deployments.access.measure import Measure


class Grant:
    """A request that was let in. It is settled once, at whichever end comes first."""

    __slots__ = ("_clock", "_counts", "_id", "_reserved")

    def __init__(self, counts: KeyCounts, clock: Clock, key: str, wanted: Mapping[Measure, float]) -> None:
        """Count what is `wanted`."""
        self._counts, self._clock, self._id = counts, clock, key
        now = clock()
        self._reserved: list[Reserved] = []
        for measure, amount in wanted.items():
            cell = counts.cell(key, measure, now)
            cell.add(cell.window, amount)
            self._reserved.append((measure, cell.window, amount))

    @property
    def reserved(self) -> tuple[Reserved, ...]:
        """What is counted of the request."""
        return tuple(self._reserved)

    def withdraw(self) -> None:
        """Give everything back: the request was not let in after all."""
        self._give(dict.fromkeys(Measure, 0.0))

    def settle(self, tokens: float, money: float) -> None:
        """Give back what was reserved beyond `tokens` and `money`, or count what was used beyond the reservation."""
        self._give(
            {
                Measure.TOKENS: tokens,
                Measure.DAY_TOKENS: tokens,
                Measure.DAY_MONEY: money,
                Measure.CONCURRENT: 0.0,
            }
        )

    def _give(self, used: Mapping[Measure, float]) -> None:
        reserved, self._reserved = self._reserved, []
        now = self._clock()
        for measure, window, amount in reserved:
            if (taken := used.get(measure)) is not None and taken != amount:
                self._counts.cell(self._id, measure, now).add(window, taken - amount)
