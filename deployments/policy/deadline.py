"""One deadline a request, shared by all tiers; nobody gets a fresh timeout of their own.

    start                    cut over                         answer by   end
      |---- requested model ----|------- the backup's reserve -----|--------|
                                 (the model may still win here)      last resort's reserve

Remaining seconds travel between processes, never clock readings: clocks of two machines do not compare.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reserves:
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


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a request was taken on and when its answer is due, on the clock of the process that holds it.

    Attributes:
        start: when it was taken on.
        end: when it is over.
        reserves: what is kept of it.
        answer_by: the moment at which the last-resort message is sent if nobody else has answered.
        cut_over: the moment at which the backup is started at the latest.

    Raises:
        ValueError: it would end before it starts.
    """

    start: float
    end: float
    reserves: Reserves = Reserves()
    # Worked out once: every step of a chain looks at them.
    answer_by: float = field(init=False)
    cut_over: float = field(init=False)

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise ValueError(f"a deadline ends after it starts, not at {self.end} for a start at {self.start}")
        seconds, kept = self.end - self.start, self.reserves
        answer_by = self.end - min(kept.last_resort_s, kept.last_resort_share * seconds)
        backup = min(kept.backup_s, kept.backup_share * seconds)
        object.__setattr__(self, "answer_by", answer_by)
        object.__setattr__(self, "cut_over", max(self.start, answer_by - backup))

    @classmethod
    def after(cls, now: float, seconds: float, reserves: Reserves = Reserves()) -> "Deadline":
        """The deadline of a request taken on at `now` that may take `seconds`."""
        return cls(now, now + seconds, reserves)

    @property
    def seconds(self) -> float:
        """The whole of it."""
        return self.end - self.start
