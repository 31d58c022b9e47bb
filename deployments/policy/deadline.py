"""One deadline for each request, shared by all tiers: no tier gets a fresh timeout.

    start                    cut over                         answer by   end
      |---- requested model ----|------- the backup's reserve -----|--------|
                                 (the model may still win here)      last resort's reserve

What is sent to another process is the seconds that are left, never a clock reading: the clocks of two machines differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import force_setattr

from deployments.policy.knob import Knobs, seconds, share


class Reserves(Struct, frozen=True):
    """The parts of one request's deadline that are kept for the backup and the last resort.

    Attributes:
        backup_seconds: kept for the backup, but at most `backup_share` of the deadline.
        backup_share: the largest share of a deadline that the backup's reserve may take, 0 to 1.
        last_resort_seconds: kept for sending the last-resort message, but at most `last_resort_share` of the deadline.
        last_resort_share: the largest share of a deadline that the last resort's reserve may take, 0 to 1.
    """

    backup_seconds: float = 10.0
    backup_share: float = 0.5
    last_resort_seconds: float = 0.1
    last_resort_share: float = 0.2


USUAL_RESERVES = Reserves()

_RETURN_S = 0.25
_RETURN_SHARE = 0.1


def writing_s(budget_s: float) -> float:
    """Return the seconds of a budget that a model may write for: the rest is for the last step, and for the way back.

    What is written by then is the answer, and has to be with the caller before the deadline.
    """
    return budget_s - min(_RETURN_S, _RETURN_SHARE * budget_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePolicy(Knobs):
    """The parts of a request's deadline that are kept for the tiers behind the first.

    The reserve for the backup follows the backup's measured latency within these bounds.
    """

    backup_min_seconds: float = seconds(1.0, "The least time kept for the backup.")
    backup_max_seconds: float = seconds(
        10.0, "The most time kept for the backup; also used until its latency is known."
    )
    backup_quantile: float = share(0.95, "The quantile of the backup's latency that is kept for it.")
    backup_share: float = share(0.5, "The largest share of a deadline that this reserve may take.")
    last_resort_seconds: float = seconds(0.1, "The time kept for sending the last-resort message.")
    last_resort_share: float = share(0.2, "The largest share of a deadline that this reserve may take.")

    def contradictions(self) -> Iterator[str]:
        """Hold the shares to leave time for the model, and the largest reserve to be no smaller than the smallest."""
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
        """Return the reserves of one request, for a backup that needs `backup_seconds`."""
        return Reserves(backup_seconds, self.backup_share, self.last_resort_seconds, self.last_resort_share)


class Deadline(Struct, frozen=True):
    """The time span of a request, on the clock of the process that holds it.

    Attributes:
        start: the time at which the request arrived.
        end: the time at which its answer is due.
        reserves: the parts of the span that are kept for the backup and the last resort.
        answer_by: the time at which the last-resort message is sent if no model has answered.
        cut_over: the latest time at which the backup is started. These two are worked out, whatever is given, and once:
            each step of a request asks for them several times.

    Raises:
        ValueError: `end` is not after `start`.
    """

    start: float
    end: float
    reserves: Reserves = USUAL_RESERVES
    answer_by: float = 0.0
    cut_over: float = 0.0

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise ValueError(f"a deadline ends after it starts, not at {self.end} for a start at {self.start}")
        seconds, kept = self.seconds, self.reserves
        answer_by = self.end - min(kept.last_resort_seconds, kept.last_resort_share * seconds)
        backup_s = min(kept.backup_seconds, kept.backup_share * seconds)
        force_setattr(self, "answer_by", answer_by)
        force_setattr(self, "cut_over", max(self.start, answer_by - backup_s))

    @classmethod
    def after(cls, now: float, seconds: float, reserves: Reserves = USUAL_RESERVES) -> "Deadline":
        """Return the deadline of a request that arrived at `now` and may take `seconds`."""
        return cls(now, now + seconds, reserves)

    @property
    def seconds(self) -> float:
        """The seconds that the request may take."""
        return self.end - self.start
