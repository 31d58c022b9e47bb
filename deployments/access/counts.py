"""What the keys have used, as one router knows it, and how the routers come to know the same.

Each router counts what it lets in, and holds a **table** for every router that it has heard of: the counts of that
router, numbered. Two routers exchange all the tables that they hold, and of two tables of one router the later one
stays; so what a router counted is known to the others after it has gone. A router may use its *share* of what is left
without asking anybody:

    share = (left + unshared) / routers        unshared: what it has let in since it last exchanged

Whoever has exchanged knows all but what the others have let in since. So all shares together never exceed what is left,
however long ago the exchanges were. A router whose share is used up exchanges before it refuses anybody; and what is
more than a share, and not more than is left, is *claimed*: see `limits`. So nobody is refused as long as there is room.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from deployments.access.measure import MINUTE_S, Measure, sliding

Slot = tuple[str, str, int]
"""What a count is of: the id of a key, a measure, and a window."""

Table = dict[str, Any]
"""A table as it travels: `router`, `number`, and `counts`, a list of `[id, measure, window, count]`."""


class Counts:
    """The counts of one router, and what it knows of the others."""

    def __init__(self, router: str) -> None:
        """Begin at nothing; `router` is a name that no other router has."""
        self._router = router
        self._number = 0
        self._own: dict[Slot, float] = {}
        self._unshared: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._tables: dict[str, Table] = {}
        self._others: dict[Slot, float] = {}
        self._alive: frozenset[str] = frozenset({router})

    @property
    def routers(self) -> int:
        """How many routers there are, as far as is known."""
        return len(self._alive)

    @property
    def has_news(self) -> bool:
        """Whether anything was counted since the last exchange."""
        return bool(self._unshared)

    def add(self, key: str, measure: Measure, window: int, amount: float) -> None:
        """Count `amount`, which may be negative, in `window`; what is over is not counted any more."""
        slot = (key, measure.value, window)
        self._own[slot] = self._own.get(slot, 0.0) + amount
        self._unshared[key, measure.value] += amount

    def windows(self, key: str, measure: Measure, now: float) -> tuple[float, float]:
        """Return what all routers together have counted, as far as is known: in the window before, and in this one."""
        window = measure.window(now)
        before = self._of((key, measure.value, window - 1)) if measure.window_s == MINUTE_S else 0.0
        return before, self._of((key, measure.value, window))

    def used(self, key: str, measure: Measure, now: float) -> float:
        """Return how much of a limit is used."""
        before, current = self.windows(key, measure, now)
        return sliding(before, current, now) if measure.window_s == MINUTE_S else current

    def share(self, key: str, measure: Measure, limit: float, now: float) -> float:
        """Return how much more this router may let in before it has to exchange; see the module."""
        left = limit - self.used(key, measure, now)
        if len(self._alive) <= 1:
            return left
        # What was given back may be known to others, who use it: it is in `left`, and nobody's own.
        unshared = max(0.0, self._unshared.get((key, measure.value), 0.0))
        return (left + unshared) / len(self._alive) - unshared

    def tables(self, now: float) -> list[Table]:
        """Return all tables that are known, the router's own first, without what is over."""
        self._number += 1
        self._own = {slot: count for slot, count in self._own.items() if _matters(slot, count, now)}
        counts = [[*slot, count] for slot, count in self._own.items()]
        return [{"router": self._router, "number": self._number, "counts": counts}, *self._tables.values()]

    def sharing(self) -> dict[tuple[str, str], float]:
        """Return what has been let in since the last exchange, which one that begins now makes known."""
        return dict(self._unshared)

    def shared(self, told: Mapping[tuple[str, str], float], alive: Iterable[str]) -> None:
        """Note that an exchange has reached all routers: those named `alive`; `told` is what `sharing` gave before."""
        for what, amount in told.items():
            self._unshared[what] -= amount
            if not self._unshared[what]:
                del self._unshared[what]
        self._alive = frozenset(alive) | {self._router}
        self._sum()

    def hear(self, tables: Sequence[Table], now: float) -> None:
        """Take over what another router has told in an exchange of its own, its table first: so it is there."""
        self._alive |= {table["router"] for table in tables[:1]}
        self.merge(tables, now)

    def merge(self, tables: Iterable[Table], now: float) -> None:
        """Take over the tables of other routers, of each the latest."""
        for table in tables:
            name = table["router"]
            known = self._tables.get(name)
            if name != self._router and (known is None or known["number"] < table["number"]):
                self._tables[name] = table
        for name, table in list(self._tables.items()):
            table["counts"] = [row for row in table["counts"] if _matters((row[0], row[1], row[2]), row[3], now)]
            if not table["counts"] and name not in self._alive:
                del self._tables[name]  # it has gone, and all that it counted is over
        self._sum()

    def _sum(self) -> None:
        others: dict[Slot, float] = {}
        for name, table in self._tables.items():
            for key, measure, window, count in table["counts"]:
                if measure == Measure.CONCURRENT and name not in self._alive:
                    continue  # what was under way in a router that has gone has ended with it
                slot = (key, measure, window)
                others[slot] = others.get(slot, 0.0) + count
        self._others = others

    def _of(self, slot: Slot) -> float:
        return self._own.get(slot, 0.0) + self._others.get(slot, 0.0)


def _matters(slot: Slot, count: float, now: float) -> bool:
    measure = Measure(slot[1])
    return bool(count) and abs(count) < inf and not measure.is_over(slot[2], now)
