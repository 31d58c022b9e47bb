"""Pauses that grow: each is twice as long as the one before, up to a bound."""

from dataclasses import dataclass

_MOST_DOUBLINGS = 60
"""2.0 ** 2000 overflows; every bound is reached long before this."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between tries.

    Attributes:
        first_s: the first pause, in seconds.
        longest_s: the longest one, in seconds.
    """

    first_s: float
    longest_s: float

    def pause_s(self, tries: int) -> float:
        """Return the seconds to pause after so many tries in a row, 1 or more."""
        return min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, _MOST_DOUBLINGS))
