"""The ways in which an attempt can end: a closed union, so that no two flags can contradict each other.

    Answered    an acceptable answer; it cannot be built blank
    Blank       the model returned nothing visible: a failure like an exception
    Failed      the model raised, or its process died; `transient` says that a retry could succeed
    TimedOut    its per-try timeout passed without an answer
    Refused     the model never took the request (queue full, not ready, breaker open, unknown)
    Rejected    the model took the request and calls it invalid: the caller's fault
    Cancelled   stopped because another candidate had answered, or the caller had gone away

A stream is a sequence of texts, and of `Extras` beside them, with one `StreamEnd` behind: `Finished`, or the way in
which it failed. A stream without a `StreamEnd` was cut.

Outcomes travel between processes: they hold JSON-like data and nothing else. A reason has a bound, whoever words it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import force_setattr

from deployments.policy.blank import is_blank
from deployments.policy.extras import NO_EXTRAS, Extras, combine
from deployments.policy.reason import MAX_REASON_CHARACTERS, cut
from deployments.policy.token_estimate import estimate_tokens

NOT_READY = "not ready: "
"""Before the reason of a refusal of a model that may soon be ready."""

UNKNOWN_MODEL = "unknown model"
"""The reason of the refusal of a name that no model has."""

PUT_BEHIND = "put behind"
"""Begins the reason of the refusal of a model that is asked once nobody else has answered."""

CONTENT_FILTER = "content_filter"
"""The finish reason of an answer that a filter has withheld."""

WITHHELD = "The model's content filter has withheld this answer."
"""The text of a withheld answer."""


class Usage(Struct, frozen=True):
    """Counts of the tokens that a language model read and wrote."""

    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, int]:
        """Return the counts as OpenAI's `usage` object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


class Answered(Struct, frozen=True):
    """An acceptable answer.

    Attributes:
        result: the answer: any JSON value, never blank.
        usage: token counts, where the model counts tokens.
        finish_reason: `stop`; `length` where `max_tokens` ended the answer; `deadline` where the time budget did;
            `tool_calls`; `content_filter` where the model's filter withheld the content and `result` says so.
        tool_calls: the functions that the model wants called, in OpenAI's form. Where there is no text beside them,
            `result` is `{"tool_calls": [...]}`.
        extras: what came beside the answer, all of it.
        skipped: events of the model's response, and pieces of them, that could not be read and were left out.
        dropped: what the model left out of the request, by name: `prompt_tokens:120` for the oldest 120 of its prompt.

    Raises:
        ValueError: `result` is blank.
    """

    name: ClassVar[str] = "answered"
    result: Any
    usage: Usage | None = None
    finish_reason: str = "stop"
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    extras: Extras = NO_EXTRAS
    skipped: int = 0
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if is_blank(self.result):
            raise ValueError("an Answered outcome needs a result that is not blank")

    @property
    def reason(self) -> str:
        """Always empty: only a failure has a reason."""
        return ""


class _Reasoned(Struct, frozen=True):
    """An outcome with a reason, which is cut to `MAX_REASON_CHARACTERS`."""

    reason: str

    def __post_init__(self) -> None:
        if len(self.reason) > MAX_REASON_CHARACTERS:
            force_setattr(self, "reason", cut(self.reason))


class Blank(_Reasoned, frozen=True):
    """The model returned nothing visible.

    Attributes:
        reason: a description of what the model returned.
        complete: the model stopped by itself (`stop`). Where it was to continue a text, the text was complete already.
        cut: `max_tokens` ended it before anything visible was written.
    """

    name: ClassVar[str] = "blank"
    reason: str = "the model returned nothing"
    complete: bool = False
    cut: bool = False


class Failed(_Reasoned, frozen=True):
    """The attempt raised, or the process behind it died.

    Attributes:
        reason: what went wrong.
        transient: the same model could succeed if it was asked again.
        retry_after_s: seconds after which the model wants to be asked again; 0 where it named none.
        soon: as in `Refused`: what failed is being replaced.
        log_reason: the reason as log lines give it, where `reason` has words of the model's own code, which may quote
            the request; empty where `reason` has none.
        misfit: there was an answer, but not in the form that the caller demands.
        cut: `max_tokens` ended the answer before it was what it had to be.
    """

    name: ClassVar[str] = "failed"
    reason: str
    transient: bool = False
    retry_after_s: float = 0.0
    soon: bool = False
    log_reason: str = ""
    misfit: bool = False
    cut: bool = False


class TimedOut(_Reasoned, frozen=True):
    """The attempt's per-try timeout passed."""

    name: ClassVar[str] = "timed_out"
    reason: str


class Refused(_Reasoned, frozen=True):
    """The model did not take the request.

    Attributes:
        reason: the cause.
        transient, retry_after_s: as in `Failed`.
        full: it has no room at this moment.
        soon: the model may take requests within the deadline: it is starting, loading, being replaced or being woken.
    """

    name: ClassVar[str] = "refused"
    reason: str
    transient: bool = False
    retry_after_s: float = 0.0
    soon: bool = False
    full: bool = False


class Rejected(_Reasoned, frozen=True):
    """The model calls the request invalid. The same request is not sent to it again.

    Attributes:
        reason: the model's explanation, bounded in length and free of secrets.
        field: the field of the request that the model names; `body` where it names none.
        code: the code that the model names, such as `content_policy_violation`; empty where it names none.
        elsewhere: another model may take the request, such as one with a larger context. It is the caller's fault only
            where none does.
        content: the request is rejected for its content.
    """

    name: ClassVar[str] = "rejected"
    reason: str
    field: str = "body"
    code: str = ""
    elsewhere: bool = False
    content: bool = False


class Cancelled(_Reasoned, frozen=True):
    """The attempt was stopped from outside, through no fault of the model."""

    name: ClassVar[str] = "cancelled"
    reason: str


class Finished(Struct, frozen=True):
    """The proper end of a stream.

    Attributes:
        finish_reason: as in `Answered`.
        usage: token counts of the whole stream, where the model counts tokens.
        tool_calls: as in `Answered`; a stream gives the calls whole, at its end.
        extras: what came with the end; what came earlier was given as items.
        skipped: as in `Answered`.
        dropped: as in `Answered`.
    """

    name: ClassVar[str] = "answered"
    finish_reason: str = "stop"
    usage: Usage | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    extras: Extras = NO_EXTRAS
    skipped: int = 0
    dropped: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Always empty: only a failure has a reason."""
        return ""


Outcome = Answered | Blank | Failed | TimedOut | Refused | Rejected | Cancelled

StreamEnd = Finished | Blank | Failed | TimedOut | Refused | Rejected

StreamPart = str | Extras
"""A part of a stream before its end. An empty text is a sign of life: the model writes a tool call."""

StreamItem = StreamPart | StreamEnd
"""One item of a stream."""


def reason_for_log(outcome: Outcome | Finished) -> str:
    """Return the reason of `outcome` without words of its model's own, as these may quote the request."""
    match outcome:
        case Answered() | Finished():  # the usual case
            return ""
        case Failed(log_reason=reason) if reason:
            return reason
        case Rejected():
            return f"the model calls {cut(outcome.field, 100)} invalid"
        case _:
            return outcome.reason


def answered_or_blank(
    result: Any, usage: Usage | None = None, finish_reason: str = "stop", *, empty_reason: str = ""
) -> Answered | Blank:
    """Return `Answered`, or `Blank` where `result` is blank, with `empty_reason` or a description of `result`."""
    if is_blank(result):
        return Blank(empty_reason or f"the model returned {_describe(result)}", cut=finish_reason == "length")
    return Answered(result, usage, finish_reason)


def stream_to_outcome(text: str, end: StreamEnd, extras: Sequence[Extras] = ()) -> Outcome:
    """Return the outcome of a stream that gave `text`, `extras` and then `end`.

    White space beside tool calls is dropped.
    """
    if not isinstance(end, Finished):
        return end
    if is_blank(text) and not end.tool_calls:
        if end.finish_reason == CONTENT_FILTER:
            return Answered(WITHHELD, end.usage, CONTENT_FILTER, extras=combine([*extras, end.extras]))
        if end.finish_reason == "deadline":
            return TimedOut(nothing_visible(end))
        return Blank(nothing_visible(end), end.finish_reason == "stop", end.finish_reason == "length")
    result = {"tool_calls": list(end.tool_calls)} if is_blank(text) else text
    beside = combine([*extras, end.extras])
    return Answered(result, end.usage, end.finish_reason, end.tool_calls, beside, end.skipped, end.dropped)


def nothing_visible(end: Finished) -> str:
    """Describe a finished answer without visible content."""
    if end.usage is None:
        return "it returned no visible content"
    return f"{end.usage.completion_tokens} tokens, none of them visible ({end.finish_reason})"


def written_tokens(answer: Answered) -> int:
    """Return how many tokens an answer took to write, by its model's count or by its text; 0 for what is no text."""
    if answer.usage is not None and answer.usage.completion_tokens > 0:
        return answer.usage.completion_tokens
    return estimate_tokens(answer.result) if isinstance(answer.result, str) else 0


def _describe(blank: Any) -> str:
    match blank:
        case None:
            return "None"
        case str():  # compared by length, as all blanks are: comparing an array with "" gives no truth value
            return "only white space" if len(blank) else "an empty string"
        case Mapping():
            return "an empty object" if not blank else "an object with nothing but blank values"
        case list() | tuple():
            return "an empty list" if not blank else "a list with nothing but blank values"
        case _:
            return f"a blank {type(blank).__name__}"
