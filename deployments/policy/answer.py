"""The answer to a request, with the record of how it came about."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from deployments.policy.blank import is_blank
from deployments.policy.outcome import Outcome, Usage


class Tier(StrEnum):
    """Who serves a request, in the order in which they are asked."""

    PRIMARY = "primary"
    BACKUP = "backup"
    LAST_RESORT = "last_resort"


class Candidate(Struct, frozen=True):
    """A model in its place in the chain. A `fallbacks` model is of the primary tier, too."""

    tier: Tier
    model: str


class Why(StrEnum):
    """Why an attempt was made."""

    NEXT = "next"  # it was this candidate's turn
    RETRY = "retry"  # the same candidate once more, after a transient failure
    HEDGE = "hedge"  # the backup, beside a model that takes longer than it usually does
    CUT_OVER = "cut_over"  # the backup, as its reserve of the deadline begins
    BESIDE_PROBE = "beside_probe"  # the backup, beside a model that is being tried again
    CONTINUE = "continue"  # goes on with a text that another attempt left unfinished


class Running(Struct, frozen=True):
    """An attempt under way since `started`; `probe` says that it tries a model whose breaker was open."""

    candidate: Candidate
    started: float
    why: Why = Why.NEXT
    probe: bool = False


class Ended(Struct, frozen=True):
    """An attempt that is over.

    Attributes:
        candidate: who was asked.
        started: when.
        ended: when it was over.
        outcome: how.
        why: why it was made.
        from_character: of a streamed answer, the character at which its text begins; negative where it has none
            in the answer.
    """

    candidate: Candidate
    started: float
    ended: float
    outcome: Outcome
    why: Why = Why.NEXT
    from_character: int = -1

    def to_json(self) -> dict[str, Any]:
        """One line of an answer's `attempts`."""
        line: dict[str, Any] = {
            "tier": self.candidate.tier.value,
            "model": self.candidate.model,
            "why": self.why.value,
            "outcome": self.outcome.name,
            "reason": self.outcome.reason,
            "ms": round(max(0.0, self.ended - self.started) * 1000, 2),
        }
        if self.from_character >= 0:
            line["from_character"] = self.from_character
        return line


Attempt = Running | Ended


class Answer(Struct, frozen=True):
    """What the caller gets.

    Attributes:
        result: never blank.
        model: the model that really answered; `last_resort` where none did.
        served_by: its tier.
        degraded: somebody else than the one first asked has answered.
        attempts: every attempt that was made, in the order of their starts.
        usage: the answering model's token counts, where it counts tokens.
        finish_reason: as in `Answered`; `last_resort` for the last-resort message.
        tool_calls: as in `Answered`.
        retry_after_s: with a last-resort answer to a refusal for want of capacity, when to ask again; else 0.

    Raises:
        ValueError: `result` is blank.
    """

    result: Any
    model: str
    served_by: Tier
    degraded: bool
    attempts: tuple[Ended, ...]
    usage: Usage | None = None
    finish_reason: str = "stop"
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    retry_after_s: float = 0.0

    def __post_init__(self) -> None:
        if is_blank(self.result):
            raise ValueError("an Answer needs a result that is not blank")

    def to_json(self, request_id: str) -> dict[str, Any]:
        """The body of the native API."""
        return {
            "result": self.result,
            "model": self.model,
            "served_by": self.served_by.value,
            "degraded": self.degraded,
            "finish_reason": self.finish_reason,
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "request_id": request_id,
            "usage": self.usage.to_json() if self.usage else None,
            **({"tool_calls": list(self.tool_calls)} if self.tool_calls else {}),
        }
