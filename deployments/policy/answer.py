"""The answer to a request, with the record of how it came about."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deployments.policy.attempt import Candidate, Ended, Tier, trace_to_json
from deployments.policy.blank import is_blank
from deployments.policy.extras import NO_EXTRAS, Extras
from deployments.policy.outcome import Answered, Usage


class Answer(Struct, frozen=True):
    """An answer as the caller gets it.

    Attributes:
        result: never blank.
        model: the model that really answered; `last_resort` where none did.
        served_by: the tier of that model.
        degraded: another model than the first candidate has answered, or written a part of the answer, or something
            was dropped.
        attempts: every attempt that was made, in the order of their starts.
        usage: the answering model's token counts, where it counts tokens.
        finish_reason: as in `Answered`; `last_resort` for the last-resort message.
        tool_calls: as in `Answered`.
        refusal: the caller demanded a form (JSON, a tool call), and `result` says in words that none is available.
        retry_after_s: seconds after which to ask again, where this is a last resort for lack of capacity; else 0.
        extras: as in `Answered`.
        dropped: what the request asked for and a model that answered could not do, by name.
        usage_estimated: some of the counts in `usage` are estimated.
        unavailable: where nothing at all may stand in the place of the result (vectors), the code of the error that is
            given instead, with `result` as its message; else empty.

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
    refusal: bool = False
    retry_after_s: float = 0.0
    extras: Extras = NO_EXTRAS
    dropped: tuple[str, ...] = ()
    usage_estimated: bool = False
    unavailable: str = ""

    def __post_init__(self) -> None:
        if is_blank(self.result):
            raise ValueError("an Answer needs a result that is not blank")

    def to_json(self, request_id: str) -> dict[str, Any]:
        """Return the answer as a body of the native API."""
        body: dict[str, Any] = {}
        if self.unavailable:
            body["error"] = {"type": "unavailable", "code": self.unavailable, "message": self.result}
        else:
            body["result"] = self.result
        body |= {
            "model": self.model,
            "served_by": str(self.served_by),
            "degraded": self.degraded,
            "finish_reason": self.finish_reason,
            "attempts": trace_to_json(self.attempts),
            "request_id": request_id,
            "usage": self.usage.to_json() if self.usage else None,
        }
        if self.refusal:
            body["refusal"] = True
        if self.tool_calls:
            body["tool_calls"] = list(self.tool_calls)
        if self.extras:
            body["extras"] = self.extras.to_json()
        if self.dropped:
            body["dropped"] = list(self.dropped)
        if self.usage_estimated:
            body["usage_estimated"] = True
        return body


def winning_answer(
    first: Candidate,
    winner: Candidate,
    answered: Answered,
    trace: tuple[Ended, ...],
    dropped: tuple[str, ...] = (),
) -> Answer:
    """Build the answer that `winner` gave, without what is `dropped`.

    It is degraded unless `winner` is `first`, the first candidate, and nothing is dropped.
    """
    return Answer(
        result=answered.result,
        model=winner.model,
        served_by=winner.tier,
        degraded=winner != first or bool(dropped),
        attempts=trace,
        usage=answered.usage,
        finish_reason=answered.finish_reason,
        tool_calls=answered.tool_calls,
        extras=answered.extras,
        dropped=dropped,
    )
