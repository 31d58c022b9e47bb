"""The answer to a request, with the record of how it came about."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deployments.policy.blank import is_blank
from deployments.policy.outcome import Outcome, Usage


class Tier(StrEnum):
    """Who serves a request, in the order in which they are asked."""

    PRIMARY = "primary"
    BACKUP = "backup"
    LAST_RESORT = "last_resort"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model in its place in the chain. A `fallbacks` model is of the primary tier, too."""

    tier: Tier
    model: str


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt under way since `started`."""

    candidate: Candidate
    started: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over."""

    candidate: Candidate
    started: float
    ended: float
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """One line of an answer's `attempts`."""
        return {
            "tier": self.candidate.tier.value,
            "model": self.candidate.model,
            "outcome": self.outcome.name,
            "reason": self.outcome.reason,
            "ms": round(max(0.0, self.ended - self.started) * 1000, 2),
        }


Attempt = Running | Ended


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets.

    Attributes:
        result: never blank.
        model: the model that really answered; `last_resort` where none did.
        served_by: its tier.
        degraded: somebody else than the one first asked has answered.
        attempts: every attempt that was made, in the order of their starts.
        usage: the answering model's token counts, where it counts tokens.
        finish_reason: as in `Answered`; `last_resort` for the last-resort message.

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
        }
