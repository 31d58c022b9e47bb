"""One deadline a request, shared by all tiers; nobody gets a fresh timeout of their own.

    start                    cut over                         answer by   end
      |---- requested model ----|------- the backup's reserve -----|--------|
                                 (the model may still win here)      last resort's reserve

Remaining seconds travel between processes, never clock readings: clocks of two machines do not compare.
"""

from msgspec import Struct
from msgspec.structs import force_setattr


class Reserves(Struct, frozen=True):
    """How much of a deadline is kept for the tiers that answer when the others do not.

    Attributes:
        backup_s: seconds kept for the backup, while they are at most `backup_share` of the deadline.
        backup_share: the largest share of a deadline that the backup's reserve may take, 0 to 1.
        last_resort_s: seconds kept for sending the last-resort message.
        last_resort_share: the largest share of a deadline that this may take, 0 to 1.
    """

    backup_s: float = 10.0
    backup_share: float = 0.5
    last_resort_s: float = 0.1
    last_resort_share: float = 0.2


USUAL_RESERVES = Reserves()


class Deadline(Struct, frozen=True):
    """When a request was taken on and when its answer is due, on the clock of the process that holds it.

    Attributes:
        start: when it was taken on.
        end: when it is over.
        reserves: what is kept of it.
        answer_by: the moment at which the last-resort message is sent if nobody else has answered.
        cut_over: the moment at which the backup is started at the latest. These two are worked out, whatever is given,
            and once: every step of a chain looks at them.

    Raises:
        ValueError: it would end before it starts.
    """

    start: float
    end: float
    reserves: Reserves = USUAL_RESERVES
    answer_by: float = 0.0
    cut_over: float = 0.0

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise ValueError(f"a deadline ends after it starts, not at {self.end} for a start at {self.start}")
        seconds, kept = self.end - self.start, self.reserves
        answer_by = self.end - min(kept.last_resort_s, kept.last_resort_share * seconds)
        backup = min(kept.backup_s, kept.backup_share * seconds)
        force_setattr(self, "answer_by", answer_by)
        force_setattr(self, "cut_over", max(self.start, answer_by - backup))

    @classmethod
    def after(cls, now: float, seconds: float, reserves: Reserves = USUAL_RESERVES) -> "Deadline":
        """The deadline of a request taken on at `now` that may take `seconds`."""
        return cls(now, now + seconds, reserves)

    @property
    def seconds(self) -> float:
        """The whole of it."""
        return self.end - self.start
