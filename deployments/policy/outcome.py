"""How an attempt can end: a closed union, so that no two flags can contradict each other.

    Answered    an acceptable answer; it cannot be built blank
    Blank       the model returned, but nothing to show for it: a failure like an exception
    Failed      it raised, or its process died; `transient` says a repetition could succeed
    TimedOut    its slice of the deadline passed without an answer
    Refused     it never took the request (queue full, not ready, breaker open, unknown)
    Cancelled   stopped because another tier had answered, or the caller had gone away

Outcomes travel between processes: they hold JSON-like data and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from deployments.policy.blank import is_blank


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written by a language model."""

    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, int]:
        """The field names of OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Answered:
    """An acceptable answer.

    Attributes:
        result: what the model said; any JSON value, never blank.
        usage: token counts, where the model counts tokens.
        finish_reason: `stop`; `length` where `max_tokens` ended it; `deadline` where time did.

    Raises:
        ValueError: `result` is blank.
    """

    name: ClassVar[str] = "answered"
    result: Any
    usage: Usage | None = None
    finish_reason: str = "stop"

    def __post_init__(self) -> None:
        if is_blank(self.result):
            raise ValueError("an Answered outcome needs a result that is not blank")

    @property
    def reason(self) -> str:
        """Nothing went wrong: empty."""
        return ""


@dataclass(frozen=True, slots=True)
class Blank:
    """The model returned nothing visible."""

    name: ClassVar[str] = "blank"
    reason: str = "the model returned nothing"


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt raised, or the process behind it died."""

    name: ClassVar[str] = "failed"
    reason: str
    transient: bool = False


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt's slice of the deadline passed."""

    name: ClassVar[str] = "timed_out"
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was not taken on."""

    name: ClassVar[str] = "refused"
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Stopped from outside, through no fault of the model."""

    name: ClassVar[str] = "cancelled"
    reason: str


Outcome = Answered | Blank | Failed | TimedOut | Refused | Cancelled


def judge(
    result: Any, usage: Usage | None = None, finish_reason: str = "stop", *, empty_reason: str = ""
) -> Answered | Blank:
    """Turn what a model returned into an outcome: the only place where a result becomes an answer."""
    if is_blank(result):
        return Blank(empty_reason or f"the model returned {_describe(result)}")
    return Answered(result, usage, finish_reason)


def _describe(blank: Any) -> str:
    match blank:
        case None:
            return "None"
        case str():  # told apart by length: an array compared with "" is no truth value
            return "only white space" if len(blank) else "an empty string"
        case Mapping():
            return "an empty object" if not blank else "an object with nothing but blank values"
        case list() | tuple():
            return "an empty list" if not blank else "a list with nothing but blank values"
        case _:
            return f"a blank {type(blank).__name__}"
