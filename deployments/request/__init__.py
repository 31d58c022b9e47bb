"""A request, read from whatever the caller sent. L1: no I/O, no Ray.

The rules for what a request may look like are here and nowhere else; HTTP, handle and engine all read through
`InferenceRequest.from_mapping`, so that the same mistake gets the same explanation everywhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from deployments.body import Limits, decode, encode
from deployments.policy.answer import Tier
from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem

TEXT_KEYS = ("text", "prompt", "query", "input", "message")
"""Where a request's text may be: the first of these that is present and not blank counts."""

TIMEOUT_HEADER = "x-request-timeout-seconds"
ROLES = ("system", "user", "assistant")
MAX_MODEL_NAME = 128

_TEXT_FIELDS = ", ".join(TEXT_KEYS)
_CONTROL_KEYS = frozenset({"model", "timeout", "tiers"})
_TIERS = {"primary": Tier.PRIMARY, "backup": Tier.BACKUP}


@dataclass(frozen=True, slots=True)
class Parameters:
    """How an answer is to be sampled, in OpenAI's terms. `None` leaves it to the model.

    Attributes:
        max_tokens: the longest answer in tokens, 1 or more.
        temperature: 0 to 2; 0 always takes the likeliest token.
        top_p: 0 (excluded) to 1.
        stop: texts that end the answer and are not part of it; at most 4.
        seed: the same seed and request sample the same answer, where the model can.
        presence_penalty: -2 to 2, off the logits of tokens that have been written.
        frequency_penalty: -2 to 2, off the logits of tokens for each time they have been written.
        logit_bias: token id (as a text) to what is added to its logit, -100 to 100.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """What form the answer must have, in OpenAI's terms and as it was sent.

    Attributes:
        response_format: empty for free text; `{"type": "json_object"}`; `{"type": "json_schema", ...}`.
        tools: functions the model may call.
        tool_choice: `""` where it was not sent, `none`, `auto`, `required`, or an object naming a function.
        parallel_tool_calls: whether it may call several at once.
    """

    response_format: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = ""
    parallel_tool_calls: bool | None = None

    @property
    def is_json(self) -> bool:
        """The answer has to be JSON."""
        return bool(self.response_format)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema the answer has to fit; empty where any JSON object does."""
        schema: Mapping[str, Any] = self.response_format.get("json_schema", {}).get("schema", {})
        return schema

    @property
    def demands_tool_call(self) -> bool:
        """Plain text is no answer."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, Mapping)


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A well-formed request.

    Attributes:
        inputs: the request as it was sent, without `model`, `timeout` and `tiers`: what a `python` model is given.
        text: what a language model reads where there are no `messages`: the text, or its JSON where `input`
            is something else.
        messages: chat turns of `role` and `content`; empty where the request is a text.
        model: the model asked for; empty where none is.
        timeout_s: the deadline in seconds.
        parameters: how to sample.
        shape: what form the answer must have.
        turns: `messages` as they were sent, with tool calls and their results, for those who understand them.
        user: the caller's own user, passed on to upstreams.
        tiers: who may be asked; the last resort always may.
        fallback: other models than the one asked for may answer.
        hedge: the backup may be started beside a slow model.
        stream: the answer is wanted piece by piece.
        prefix: the beginning of the answer, which is there already: the model carries on behind it.
    """

    inputs: Mapping[str, Any]
    text: str
    messages: tuple[Mapping[str, str], ...]
    model: str
    timeout_s: float
    parameters: Parameters = Parameters()
    shape: Shape = Shape()
    turns: tuple[Mapping[str, Any], ...] = ()
    user: str = ""
    tiers: frozenset[Tier] = frozenset(_TIERS.values())
    fallback: bool = True
    hedge: bool = True
    stream: bool = False
    prefix: str = ""

    @classmethod
    def from_body(cls, body: bytes, limits: Limits, *, model: str = "", timeout_header: str = "") -> "InferenceRequest":
        """Read an HTTP body.

        Args:
            body: UTF-8 JSON.
            limits: the bounds it is held to.
            model: the model in the path, if any.
            timeout_header: the value of `x-request-timeout-seconds`, if any; the body's `timeout` goes first.

        Raises:
            InvalidRequestError: it is not a request, and why.
        """
        data = decode(body, limits)
        return cls.from_mapping(data, limits, model=model, timeout_header=timeout_header)

    @classmethod
    def from_python(cls, data: Any, limits: Limits, *, model: Any = "") -> "InferenceRequest":
        """Read what a Python caller passed: held to the same rules as its JSON would be over HTTP.

        Raises:
            InvalidRequestError: it is not a request, and why.
        """
        return cls.from_body(encode(data), limits, model=model)

    @classmethod
    def from_mapping(
        cls, data: Any, limits: Limits, *, model: str = "", timeout_header: str = ""
    ) -> "InferenceRequest":
        """Read decoded JSON; see `from_body`."""
        if not isinstance(data, Mapping):
            raise InvalidRequestError(
                Problem("body", f"is {_kind(data)}", f"a JSON object with one of: {_TEXT_FIELDS}, messages")
            )
        messages = _read_messages(data)
        return cls(
            inputs={key: value for key, value in data.items() if key not in _CONTROL_KEYS},
            text="" if messages else _read_text(data),
            messages=messages,
            model=_read_model(data, model),
            timeout_s=_read_timeout(data, timeout_header, limits),
            parameters=Parameters(max_tokens=_read_max_tokens(data), temperature=_read_temperature(data)),
            tiers=_read_tiers(data),
        )


def extract_text(data: Mapping[str, Any]) -> str:
    """The text of a request, by the rule of `TEXT_KEYS`.

    Raises:
        InvalidRequestError: there is none.
    """
    return _read_text(data)


def _read_text(data: Mapping[str, Any]) -> str:
    present = [key for key in TEXT_KEYS if key in data]
    for key in present:
        value = data[key]
        if is_blank(value):
            continue
        if isinstance(value, str):
            return value
        if key == "input":
            return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        raise InvalidRequestError(Problem(key, f"is {_kind(value)}", "text that is not blank"))
    if present:
        raise InvalidRequestError(Problem(present[0], "is empty", "text that is not blank"))
    raise InvalidRequestError(Problem("text", "is missing", f"one of: {_TEXT_FIELDS}, messages"))


def _read_messages(data: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    value = data.get("messages")
    if value is None:
        return ()
    accepted = f"a list of objects with `role` ({', '.join(ROLES)}) and `content` (text)"
    if clash := next((key for key in TEXT_KEYS if key in data), ""):
        raise InvalidRequestError(Problem("messages", f"and {clash} are both given", "one of them"))
    if not isinstance(value, list) or not value:
        raise InvalidRequestError(Problem("messages", f"is {_kind(value)}", accepted))
    for place, message in enumerate(value):
        field = f"messages[{place}]"
        if not isinstance(message, Mapping):
            raise InvalidRequestError(Problem(field, f"is {_kind(message)}", accepted))
        if message.get("role") not in ROLES:
            raise InvalidRequestError(Problem(f"{field}.role", "is not a role", ", ".join(ROLES)))
        if not isinstance(message.get("content"), str):
            raise InvalidRequestError(Problem(f"{field}.content", f"is {_kind(message.get('content'))}", "text"))
    if is_blank(value[-1]["content"]):
        raise InvalidRequestError(Problem(f"messages[{len(value) - 1}].content", "is empty", "text that is not blank"))
    return tuple({"role": message["role"], "content": message["content"]} for message in value)


def _read_model(data: Mapping[str, Any], path_model: Any) -> str:
    value = data.get("model")
    accepted = f"a model's name of at most {MAX_MODEL_NAME} characters; GET /v1/models lists them"
    if value is None and not path_model:
        return ""
    if value is None:
        value = path_model
    if not isinstance(value, str) or is_blank(value):
        raise InvalidRequestError(Problem("model", f"is {_kind(value)}", accepted))
    if path_model and value != path_model:
        raise InvalidRequestError(Problem("model", "differs from the model in the path", "the same, or only one"))
    if len(value) > MAX_MODEL_NAME:
        raise InvalidRequestError(Problem("model", "is too long", accepted))
    return value


def _read_timeout(data: Mapping[str, Any], header: str, limits: Limits) -> float:
    field, value = ("timeout", data["timeout"]) if data.get("timeout") is not None else (TIMEOUT_HEADER, header)
    if value == "" and field == TIMEOUT_HEADER:
        return limits.timeout_s
    accepted = f"seconds, above 0 and at most {limits.max_timeout_s:g}"
    if field == TIMEOUT_HEADER:
        try:
            value = float(value)
        except ValueError as error:
            raise InvalidRequestError(Problem(field, "is not a number", accepted)) from error
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequestError(Problem(field, f"is {_kind(value)}", accepted))
    if not math.isfinite(value) or not 0 < value <= limits.max_timeout_s:
        raise InvalidRequestError(Problem(field, "is out of range", accepted))
    return float(value)


def _read_max_tokens(data: Mapping[str, Any]) -> int | None:
    value = data.get("max_tokens")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequestError(Problem("max_tokens", f"is {_kind(value)}", "a whole number, 1 or more"))
    return value


def _read_temperature(data: Mapping[str, Any]) -> float | None:
    value = data.get("temperature")
    if value is None:
        return None
    accepted = "a number from 0 to 2"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequestError(Problem("temperature", f"is {_kind(value)}", accepted))
    if not 0 <= value <= 2:  # noqa: PLR2004 - the bound OpenAI's API sets, named in `accepted`
        raise InvalidRequestError(Problem("temperature", "is out of range", accepted))
    return float(value)


def _read_tiers(data: Mapping[str, Any]) -> frozenset[Tier]:
    value = data.get("tiers")
    if value is None:
        return frozenset(_TIERS.values())
    if not isinstance(value, list) or not value or not all(isinstance(tier, str) and tier in _TIERS for tier in value):
        raise InvalidRequestError(
            Problem("tiers", "is not a list of tiers", f"a list with at least one of: {', '.join(_TIERS)}")
        )
    return frozenset(_TIERS[tier] for tier in value)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return "true or false"
        case str():
            return "an empty text" if is_blank(value) else "a text"
        case int() | float():
            return "a number" if value > 0 else "a number that is not above 0"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case Mapping():
            return "an object"
        case _:
            return f"a {type(value).__name__}"
