"""One attempt on one candidate, from its start to its end.

Running ──► Ended                 a whole answer, or a failure
   └──────► Began ──► Ended       a stream: its first content, then its end
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from deployments.policy.outcome import Answered, Finished, Outcome, Rejected, reason_for_log


class Tier(StrEnum):
    """The tiers that can serve a request, in the order in which they are asked."""

    PRIMARY = "primary"
    BACKUP = "backup"
    CACHE = "cache"  # an earlier answer
    LAST_RESORT = "last_resort"


class Candidate(Struct, frozen=True):
    """A model and the tier in which it stands in a chain. The `fallbacks` of a model are in the primary tier, too."""

    tier: Tier
    model: str


class Why(StrEnum):
    """The reason for which an attempt was made."""

    NEXT = "next"  # it was this candidate's turn
    RETRY = "retry"  # the same candidate once more, after a transient failure
    HEDGE = "hedge"  # the next candidate, beside a model that takes longer than it usually does
    FAILOVER = "failover"  # the next candidate, beside a model that is silent for far longer than it usually is
    CUT_OVER = "cut_over"  # the next candidate and the backup, as the backup's reserve of the deadline begins
    BESIDE_PROBE = "beside_probe"  # the next candidate, beside a model that is being tried again
    BEHIND = "behind"  # a candidate that had been put behind, as nobody else has answered
    READY = "ready"  # the candidate, which could not take the request yet, has become ready
    CONTINUE = "continue"  # carries on with a text that another attempt left unfinished


class Running(Struct, frozen=True):
    """An attempt under way.

    Attributes:
        candidate: the model that was asked.
        started: the time of its start.
        why: the reason for which it was made.
        probe: it tests a model whose breaker was open.
        suspected: its model has been silent for too long before, and has answered nobody since.
        alive: when it last showed that the model is at work; minus infinity where it has not.
        patience_s: seconds without such a sign after which it is silent for too long, by its model's own history.
    """

    candidate: Candidate
    started: float
    why: Why = Why.NEXT
    probe: bool = False
    suspected: bool = False
    alive: float = -math.inf
    patience_s: float = math.inf

    @property
    def silent_at(self) -> float:
        """When it will have been silent for too long."""
        return max(self.started, self.alive) + self.patience_s


class Began(Struct, frozen=True):
    """A stream whose first content came at `began`. It goes on, and may still fail."""

    candidate: Candidate
    started: float
    began: float
    why: Why = Why.NEXT


class Ended(Struct, frozen=True):
    """An attempt that is over.

    Attributes:
        candidate: the model that was asked.
        started: the time of its start.
        ended: the time of its end.
        outcome: how it ended; `Finished` for a stream that ended properly.
        why: the reason for which it was made.
        from_character: the index in the streamed answer at which the text of this attempt begins; `None` where it
            wrote none of the answer.
        rescued: the policy had the next candidate asked, though this outcome would have been the caller's.
    """

    candidate: Candidate
    started: float
    ended: float
    outcome: Outcome | Finished
    why: Why = Why.NEXT
    from_character: int | None = None
    rescued: bool = False

    @property
    def name(self) -> str:
        """The name of the outcome; `withheld` for an answer that was withheld, and rescued."""
        return "withheld" if self.rescued and isinstance(self.outcome, Answered) else self.outcome.name

    def to_json(self, *, quotes: bool = True) -> dict[str, Any]:
        """Return the attempt as one item of an answer's `attempts`; without `quotes`, as a log line may have it."""
        said = self.outcome.reason if quotes else reason_for_log(self.outcome)
        line: dict[str, Any] = {
            "tier": str(self.candidate.tier),
            "model": self.candidate.model,
            "why": str(self.why),
            "outcome": self.name,
            "reason": said or (_WITHHELD_REASON if self.rescued else ""),
            "ms": round(max(0.0, self.ended - self.started) * 1000, 2),
        }
        if self.from_character is not None:
            line["from_character"] = self.from_character
        if self.rescued:
            line["rescued"] = True
        if isinstance(self.outcome, (Answered, Finished)):
            if self.outcome.skipped:
                line["skipped"] = self.outcome.skipped
        elif isinstance(self.outcome, Rejected) and self.outcome.code:
            line["code"] = self.outcome.code
        return line


_WITHHELD_REASON = "its content filter withheld the answer"


def trace_to_json(trace: Sequence[Ended], *, quotes: bool = True) -> list[dict[str, Any]]:
    """Return the attempts of an answer as its `attempts`: `at_ms` is when each was started, behind the first one."""
    lines = []
    for ended in trace:
        line = ended.to_json(quotes=quotes)
        line["at_ms"] = round(max(0.0, ended.started - trace[0].started) * 1000, 2)
        lines.append(line)
    return lines


Attempt = Running | Began | Ended
