"""What is counted of each key, and over which time.

a minute    any sixty seconds, by the sliding window counter (as in the library `limits`, and in Cloudflare's
            "How we built rate limiting capable of scaling to millions of domains", 2017): the count of this minute,
            and of the minute before the share that is still less than sixty seconds ago
a day       a day of UTC
at a time   what is under way
"""

from enum import StrEnum

MINUTE_S = 60
DAY_S = 86_400


class Measure(StrEnum):
    """What is counted, by the name of the limit."""

    REQUESTS = "requests_per_minute"
    TOKENS = "tokens_per_minute"
    CONCURRENT = "concurrent_requests"
    DAY_TOKENS = "tokens_per_day"
    DAY_MONEY = "money_per_day"

    __hash__ = str.__hash__
    """An enumeration's own is written in Python, and a request looks up several."""

    @property
    def window_s(self) -> int:
        """The seconds of a window; 0 for what is counted at a time."""
        return WINDOWS_S[self]


WINDOWS_S = {
    Measure.REQUESTS: MINUTE_S,
    Measure.TOKENS: MINUTE_S,
    Measure.CONCURRENT: 0,
    Measure.DAY_TOKENS: DAY_S,
    Measure.DAY_MONEY: DAY_S,
}
"""The seconds of the windows."""


def wait_s(measure: Measure, before: float, current: float, room: float, now: float) -> float:
    """Return the seconds until no more than `room` is counted, if nothing is added.

    Args:
        measure: what is counted.
        before: the count of the window before the current one.
        current: the count of the current window.
        room: how much there may be for the next request to fit beside it.
        now: the time, in seconds since 1970.
    """
    if measure.window_s == DAY_S:
        return DAY_S - now % DAY_S
    if measure.window_s != MINUTE_S:
        return 1.0
    passed = now % MINUTE_S
    if current <= room and before > 0:
        return max(0.0, MINUTE_S * (1 - (room - current) / before) - passed)
    if current <= 0:
        return 0.0
    return MINUTE_S - passed + MINUTE_S * max(0.0, 1 - room / current)
