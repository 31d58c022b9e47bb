"""Claims: what routers have counted that may prove too much, in one order that all of them see.

A router that wants more than its share counts it, as a claim, and tells all the others; they tell it theirs. Of two
claims that are known to each other somebody has to give way, and if both do, both requests are refused though one had
room. So claims have an order, by Lamport's logical clock ("Time, clocks, and the ordering of events in a distributed
system", 1978): each is numbered above all that its router has heard, and equal numbers are told apart by the routers'
names. A claim is kept as soon as there is room for it beside what was let in and the claims *before* it; it is given up
when there is none beside what was let in alone; until either is so it waits. Whoever told of its claim knows all those
before it: a router that had not claimed yet when it heard of this one numbers its own higher. So the first of all
claims waits for nobody.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from deployments.access.measure import Measure

Reserved = tuple[Measure, int, float]
"""What was counted of one measure: in which window, and how much."""

Order = tuple[int, str, int]
"""The place of a claim: its number, the name of its router, and which of this router's claims it is."""

BEFORE_ALL: Order = (0, "", 0)
"""A place before that of any claim."""


class Claim(NamedTuple):
    """What one request of one key wants, until it is kept or given up."""

    order: Order
    key: str
    reserved: tuple[Reserved, ...]

    def of(self, key: str, measure: Measure) -> Iterator[tuple[int, float]]:
        """Yield the windows and amounts of `measure` that are claimed for `key`."""
        if key == self.key:
            yield from ((window, amount) for each, window, amount in self.reserved if each is measure)

    def told(self) -> list[Any]:
        """Return the claim as it travels in its router's table."""
        number, _, which = self.order
        return [number, which, self.key, [[measure.value, window, amount] for measure, window, amount in self.reserved]]


def heard(router: str, claims: Iterable[list[Any]]) -> Iterator[Claim]:
    """Yield the claims in the table of `router`."""
    for number, which, key, reserved in claims:
        yield Claim((number, router, which), key, tuple((Measure(kind), *rest) for kind, *rest in reserved))


class OwnClaims:
    """The claims of one router, each of them for as long as its request waits."""

    def __init__(self, router: str) -> None:
        """Begin without any."""
        self._router = router
        self._made = 0
        self._claims: dict[Order, Claim] = {}

    def __iter__(self) -> Iterator[Claim]:
        """Yield them."""
        return iter(self._claims.values())

    def make(self, number: int, key: str, reserved: tuple[Reserved, ...]) -> Order:
        """Claim what was `reserved` for `key`, with a `number` above all that was heard, and return its place."""
        self._made += 1
        order = (number, self._router, self._made)
        self._claims[order] = Claim(order, key, reserved)
        return order

    def end(self, order: Order) -> None:
        """Forget a claim: it is kept, or given up."""
        del self._claims[order]
