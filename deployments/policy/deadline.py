"""One deadline a request, shared by all tiers; nobody gets a fresh timeout of their own.

    start                    cut over                         answer by   end
      |---- requested model ----|------- the backup's reserve -----|--------|
                                 (the model may still win here)      last resort's reserve

Remaining seconds travel between processes, never clock readings: clocks of two machines do not compare.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct

from deployments.policy.knob import Knobs, seconds, share


class Reserves(Struct, frozen=True):
    """How much of one request's deadline is kept for the tiers that answer when the others do not.

    Attributes:
        backup_seconds: kept for the backup, while they are at most `backup_share` of the deadline.
        backup_share: the largest share of a deadline that the backup's reserve may take, 0 to 1.
        last_resort_seconds: kept for sending the last-resort message.
        last_resort_share: the largest share of a deadline that this may take, 0 to 1.
    """

    backup_seconds: float = 10.0
    backup_share: float = 0.5
    last_resort_seconds: float = 0.1
    last_resort_share: float = 0.2


USUAL_RESERVES = Reserves()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePolicy(Knobs):
    """How much of a request's deadline is kept for the tiers behind the first.

    The backup's reserve follows how long the backup has been taking, within these bounds.
    """

    backup_min_seconds: float = seconds(1.0, "Kept for the backup at the least.")
    backup_max_seconds: float = seconds(10.0, "At the most, and until it has been seen answering.")
    backup_quantile: float = share(0.95, "The quantile of the backup's latency that is followed.")
    backup_share: float = share(0.5, "The largest share of a deadline this reserve may take.")
    last_resort_seconds: float = seconds(0.1, "Kept for sending the last-resort message.")
    last_resort_share: float = share(0.2, "The largest share of a deadline this reserve may take.")

    def contradictions(self) -> Iterator[str]:
        """The shares leave time for the model, and the largest reserve is not below the smallest."""
        if self.backup_max_seconds < self.backup_min_seconds:
            yield (
                f"backup_max_seconds: is {self.backup_max_seconds:g}, below backup_min_seconds "
                f"({self.backup_min_seconds:g}); accepted: at least that"
            )
        if self.backup_share + self.last_resort_share >= 1:
            yield (
                f"backup_share: is {self.backup_share:g}, which leaves no time for the model beside last_resort_share "
                f"({self.last_resort_share:g}); accepted: below 1 together"
            )

    def to_reserves(self, backup_seconds: float) -> Reserves:
        """The reserves of one request, for a backup that needs `backup_seconds`."""
        return Reserves(backup_seconds, self.backup_share, self.last_resort_seconds, self.last_resort_share)


class Deadline(Struct, frozen=True):
    """When a request was taken on and when its answer is due, on the clock of the process that holds it.

    Attributes:
        start: when it was taken on.
        end: when it is over.
        reserves: what is kept of it.

    Raises:
        ValueError: it would end before it starts.
    """

    start: float
    end: float
    reserves: Reserves = USUAL_RESERVES

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise ValueError(f"a deadline ends after it starts, not at {self.end} for a start at {self.start}")

    @classmethod
    def after(cls, now: float, seconds: float, reserves: Reserves = USUAL_RESERVES) -> "Deadline":
        """The deadline of a request taken on at `now` that may take `seconds`."""
        return cls(now, now + seconds, reserves)

    @property
    def seconds(self) -> float:
        """How long the request may take."""
        return self.end - self.start

    @property
    def answer_by(self) -> float:
        """The moment at which the last-resort message is sent if nobody else has answered."""
        return self.end - min(self.reserves.last_resort_seconds, self.reserves.last_resort_share * self.seconds)

    @property
    def cut_over(self) -> float:
        """The moment at which the backup is started at the latest."""
        reserve = min(self.reserves.backup_seconds, self.reserves.backup_share * self.seconds)
        return max(self.start, self.answer_by - reserve)
