"""What the keys have used, as one router knows it, and how the routers come to know the same.

Each router counts what it lets in, and holds a **table** for every router that it has heard of: the counts of that
router, numbered. Two routers exchange all the tables that they hold, and of two tables of one router the later one
stays; so what a router counted is known to the others after it has gone. A router may use its *share* of what is left
without asking anybody:

    share = (left + unshared) / routers        unshared: what it has let in since it last exchanged

Whoever has exchanged knows all but what the others have let in since. So all shares together never exceed what is left,
however long ago the exchanges were. A router whose share is used up exchanges before it refuses anybody; and what is
more than a share, and not more than is left, is *claimed*: see `claims`. So nobody is refused as long as there is room.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deployments.access.claims import BEFORE_ALL, Claim, Order, OwnClaims, Reserved, heard
from deployments.access.measure import MINUTE_S, WINDOWS_S, Measure

Table = dict[str, Any]
"""A table as it travels.

router      its name
number      above those of all tables that the router had heard: what claims are numbered by
counts      a list of `[id, measure, window, count]`, claims among them
claims      the claims in them, as `Claim.told` gives them
"""


class Cell:
    """One count of one key, in the window of the time that it was asked for, and in the window before.

    Attributes:
        window: the number of the window.
        own: counted by this router in the window.
        own_before: the same in the window before, where that matters.
        others: counted by the other routers in the window, as far as is known.
        others_before: the same in the window before.
        unshared: counted by this router since it last exchanged.
        changes: how often this router has counted something.
    """

    __slots__ = ("changes", "others", "others_before", "own", "own_before", "unshared", "window", "window_s")

    def __init__(self, window_s: int) -> None:
        """Begin at nothing, with windows of `window_s` seconds; 0 for a count that has none."""
        self.window_s, self.window, self.changes = window_s, 0, 0
        self.own = self.own_before = self.others = self.others_before = self.unshared = 0.0

    def at(self, now: float) -> "Cell":
        """Move on to the window that `now` is in, and return this."""
        if self.window_s and (window := int(now // self.window_s)) != self.window:
            goes_on = window == self.window + 1 and self.window_s == MINUTE_S
            self.own_before, self.others_before = (self.own, self.others) if goes_on else (0.0, 0.0)
            self.own = self.others = 0.0
            self.window = window
        return self

    def used(self, now: float) -> float:
        """Return how much all routers have counted: of the window before, the share that still matters."""
        current = self.own + self.others
        before = self.own_before + self.others_before
        return before * self.weight(self.window - 1, now) + current if before else current

    def weight(self, window: int, now: float) -> float:
        """Return the share of what was counted in `window` that still matters."""
        if window == self.window:
            return 1.0
        if window == self.window - 1 and self.window_s == MINUTE_S:
            return 1 - now % MINUTE_S / MINUTE_S
        return 0.0

    def add(self, window: int, amount: float) -> None:
        """Count `amount`, which may be negative, in `window`; what is over is not counted any more."""
        if window == self.window:
            self.own += amount
        elif window == self.window - 1 and self.window_s == MINUTE_S:
            self.own_before += amount
        else:
            return
        self.unshared += amount
        self.changes += 1


class KeyCounts:
    """The counts of one router, and what it knows of the others."""

    def __init__(self, router: str) -> None:
        """Begin at nothing; `router` is a name that no other router has."""
        self._router = router
        self._number = self._told = self._telling = 0
        self._cells: dict[tuple[str, Measure], Cell] = {}
        self._tables: dict[str, Table] = {}
        self._alive: frozenset[str] = frozenset({router})
        self._claims = OwnClaims(router)
        self._heard: list[Claim] = []

    @property
    def has_news(self) -> bool:
        """Whether anything was counted since the last exchange."""
        return self._changes() != self._told

    def cell(self, key: str, measure: Measure, now: float) -> Cell:
        """Return the count of a key, as it is at `now`."""
        cell = self._cells.get((key, measure))
        if cell is None:
            cell = self._cells[key, measure] = Cell(WINDOWS_S[measure])
        return cell.at(now)

    def share(self, cell: Cell, limit: float, now: float) -> float:
        """Return how much more this router may let in before it has to exchange; see the module."""
        left = limit - cell.used(now)
        if len(self._alive) == 1:
            return left
        # What was given back may be known to others, who use it: it is in `left`, and nobody's own.
        unshared = max(0.0, cell.unshared)
        return (left + unshared) / len(self._alive) - unshared

    def claim(self, key: str, reserved: tuple[Reserved, ...]) -> Order:
        """Note that what was counted for a request of `key` may prove too much, and return its place among claims."""
        return self._claims.make(self._number + 1, key, reserved)

    def end_claim(self, order: Order) -> None:
        """Note that a claim is kept, or given up: then what was counted has been given back as well."""
        self._claims.end(order)

    def claimed(self, key: str, measure: Measure, now: float, after: Order = BEFORE_ALL) -> float:
        """Return how much of what is used is only claimed, as far as is known, in places `after` one."""
        cell = self.cell(key, measure, now)
        later = (claim for claims in (self._claims, self._heard) for claim in claims if claim.order > after)
        return sum(amount * cell.weight(window, now) for each in later for window, amount in each.of(key, measure))

    def tables(self, now: float) -> list[Table]:
        """Return all tables that are known, the router's own first, without what is over."""
        self._number += 1
        counts: list[list[Any]] = []
        for (key, measure), cell in list(self._cells.items()):
            cell.at(now)
            if cell.own:
                counts.append([key, measure.value, cell.window, cell.own])
            if cell.own_before:
                counts.append([key, measure.value, cell.window - 1, cell.own_before])
            if not (cell.own or cell.own_before or cell.others or cell.others_before or cell.unshared):
                del self._cells[key, measure]
                self._told, self._telling = self._told - cell.changes, self._telling - cell.changes
        claims = [each.told() for each in self._claims]
        own = {"router": self._router, "number": self._number, "counts": counts, "claims": claims}
        return [own, *self._tables.values()]

    def sharing(self) -> dict[tuple[str, Measure], float]:
        """Return what has been let in since the last exchange, which one that begins now makes known."""
        self._telling = self._changes()
        return {what: cell.unshared for what, cell in self._cells.items() if cell.unshared}

    def shared(self, told: Mapping[tuple[str, Measure], float], alive: Iterable[str], now: float) -> None:
        """Note that an exchange has reached all routers: those named `alive`; `told` is what `sharing` gave before."""
        for what, amount in told.items():
            if (cell := self._cells.get(what)) is not None:
                cell.unshared -= amount
        self._alive, self._told = frozenset(alive) | {self._router}, self._telling
        self._sum(now)

    def hear(self, tables: Sequence[Table], now: float) -> None:
        """Take over what another router has told in an exchange of its own, its table first: so it is there."""
        self._alive |= {table["router"] for table in tables[:1]}
        self.merge(tables)
        self._sum(now)

    def merge(self, tables: Iterable[Table]) -> None:
        """Take over the tables of other routers, of each the latest."""
        for table in tables:
            name = table["router"]
            known = self._tables.get(name)
            if name != self._router and (known is None or known["number"] < table["number"]):
                self._tables[name] = table
                self._number = max(self._number, table["number"])

    def _changes(self) -> int:
        return sum(cell.changes for cell in self._cells.values())

    def _sum(self, now: float) -> None:
        """Add up what the other routers have counted; what is over, or was under way in one that has gone, is not."""
        for cell in self._cells.values():
            cell.at(now)
            cell.others = cell.others_before = 0.0
        # Nobody will keep or give up the claims of a router that has gone: what they count stays counted.
        present = self._tables.keys() & self._alive
        # A router of an older version makes none of its claims known, and gives up more of them than it has to.
        self._heard = [claim for name in present for claim in heard(name, self._tables[name].get("claims", ()))]
        for name, table in list(self._tables.items()):
            kept: list[list[Any]] = []
            for key, kind, window, count in table["counts"]:
                measure = Measure(kind)
                cell = self.cell(key, measure, now)
                if measure is Measure.CONCURRENT and name not in self._alive:
                    continue
                if window == cell.window:
                    cell.others += count
                elif window == cell.window - 1 and cell.window_s == MINUTE_S:
                    cell.others_before += count
                elif window < cell.window:
                    continue
                kept.append([key, kind, window, count])
            if kept or name in self._alive:
                self._tables[name] = {**table, "counts": kept}
            else:
                del self._tables[name]  # it has gone, and all that it counted is over
