"""What `/status` tells of the keys: counts of all, and of no more than a few what each of them is at.

A file may name ten thousand keys, and the status is asked for every second: so nothing is computed for each key.
"""

from collections import Counter
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

from deployments.access.holder import Holder
from deployments.access.keyring import Keyring

MOST_TOLD = 200
"""Keys that are told of by name: as many as have metrics of their own."""

_MOST_NAMED = 1000
"""Names of models in the keys that are looked up."""


class KeyOverview:
    """The keys of one router that have something to tell: those that have asked lately, and those that were refused."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._lately: dict[str, Holder] = {}
        self._refused: Counter[str] = Counter()

    def asked(self, holder: Holder) -> None:
        """Note that `holder` has asked."""
        if holder.limits:
            self._lately.pop(holder.id, None)
            self._lately[holder.id] = holder
            if len(self._lately) > MOST_TOLD:
                del self._lately[next(iter(self._lately))]

    def refused(self, name: str) -> None:
        """Note that `name` was refused: the first of them by their names, all others together."""
        self._refused[name if name in self._refused or len(self._refused) < MOST_TOLD else _OTHERS] += 1

    def describe(
        self, keyring: Keyring, knows: Callable[[str], bool], describe: Callable[[Holder], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return how many keys there are, models that some name and nobody knows, refusals, and what some have used.

        Args:
            keyring: the keys in force.
            knows: tells whether there is a model.
            describe: tells what a key has used.
        """
        asked = (held for key in reversed([*self._lately]) if (held := keyring.get(key)) is not None and held.limits)
        told = {held.id: held for held in chain(asked, islice(keyring.limited, MOST_TOLD))}
        return {
            "keys": len(keyring),
            "with_limits": len(keyring.limited),
            "unknown_models": _unknown(keyring, knows),
            "refused": dict(self._refused),
            "used": {held.name: describe(held) for held in islice(told.values(), MOST_TOLD)},
        }


def _unknown(keyring: Keyring, knows: Callable[[str], bool]) -> dict[str, list[str]]:
    unknown: dict[str, list[str]] = {}
    for model, names in islice(keyring.named.items(), _MOST_NAMED):
        if not knows(model):
            for name in islice(names, MOST_TOLD):
                if name in unknown or len(unknown) < MOST_TOLD:
                    unknown.setdefault(name, []).append(model)
    return unknown


_OTHERS = "(others)"
