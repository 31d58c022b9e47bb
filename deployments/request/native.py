"""Reads the native format: a text under one of several keys, or chat turns; other keys are for `python` models.

HTTP, handles and the engine all read through `from_body`, so that a mistake gets the same explanation everywhere.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import orjson
from msgspec import Struct

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode, encode
from deployments.request.body_form import BodyForm, Common
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.entries import counting_entries
from deployments.request.fields import read_model, refuse
from deployments.request.inference import InferenceRequest
from deployments.request.sampling import Parameters, read_parameters
from deployments.request.structs import does, read_struct
from deployments.request.turns import split_prefix

TEXT_KEYS = ("text", "prompt", "query", "input", "message")
"""The keys that may hold the text of a request: the first one that is present and not blank counts."""

_Role = Literal["system", "user", "assistant"]
NATIVE_ROLES = get_args(_Role)
VECTOR_TASK = "feature-extraction"
"""The `task` of a request whose answer has to be vectors."""

_TEXT_FIELDS = ", ".join(TEXT_KEYS)
_NOT_INPUTS = CONTROL_KEYS | {"model", "stream"}
_MESSAGES = f"a list of objects with `role` ({', '.join(NATIVE_ROLES)}) and `content` (text)"


class Turn(Struct, frozen=True):
    """A turn of a chat."""

    role: Annotated[_Role, does("Whose turn it is.")]
    content: Annotated[str, does("What is said.")]


class InferBody(Common, frozen=True, kw_only=True):
    """The fields of `POST /v1/infer`, beside those of sampling."""

    text: Annotated[Any, does("The text. The first of it and the next four that is not blank counts.", shown=str)] = (
        None
    )
    prompt: Annotated[Any, does("The same as `text`.", shown=str)] = None
    query: Annotated[Any, does("The same as `text`.", shown=str)] = None
    input: Annotated[Any, does("The same, and any JSON; for a model of vectors texts or token ids.")] = None
    message: Annotated[Any, does("The same as `text`.", shown=str)] = None
    messages: Annotated[
        list[Any] | None,
        does("A chat instead. An assistant's turn at its end begins the answer.", accepted=_MESSAGES, shown=list[Turn]),
    ] = None
    task: Annotated[Any, does("With `feature-extraction` nothing but vectors is accepted.", shown=str)] = None
    dimensions: Annotated[Any, does("Of a model of vectors that is trained for it: shorter ones.", shown=int)] = None
    prompt_name: Annotated[Any, does("Of a model of vectors: one of its prompts.", shown=str)] = None


INFER_FORM = BodyForm("InferRequest", InferBody, Parameters, passed=None, others="Handed to `python` models.")


def from_body(
    body: bytes, limits: Limits, *, model: str = "", headers: Mapping[str, str] = NO_HEADERS
) -> InferenceRequest:
    """Read an HTTP body.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        model: the model in the path, if any.
        headers: the request's headers, by their names in lower case; the body overrides them. See `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    return from_mapping(decode(body, limits), limits, model=model, headers=headers)


def from_python(data: Any, limits: Limits, *, model: Any = "") -> InferenceRequest:
    """Read values that a Python caller passed, by the same rules as their JSON over HTTP.

    Args:
        data: the value that stands for a body.
        limits: the bounds of the request.
        model: the model asked for; `None` or an empty text where `data` may name one.

    Raises:
        InvalidRequestError: the value is not a valid request; the problem says why.
    """
    return from_body(encode(data, limits), limits, model=_plain_name(model))


def _plain_name(model: Any) -> str:
    """Return `model` as a plain text: what a text's subclass says of itself does not count."""
    if model is None:
        return ""
    if not isinstance(model, str):
        raise InvalidRequestError(Problem("model", f"is a {type(model).__name__}", "a model's name"))
    return str.__str__(model)


@counting_entries
def from_mapping(
    data: Any, limits: Limits, *, model: str = "", headers: Mapping[str, str] = NO_HEADERS
) -> InferenceRequest:
    """Read decoded JSON; see `from_body`."""
    if not isinstance(data, Mapping):
        raise refuse("body", data, f"a JSON object with one of: {_TEXT_FIELDS}, messages")
    asked = read_struct(data, InferBody)
    messages, prefix = split_prefix(_read_messages(asked.messages, data))
    request = InferenceRequest(
        inputs={key: value for key, value in data.items() if key not in _NOT_INPUTS},
        text="" if messages else extract_text(data),
        messages=messages,
        model=read_model(asked.model, model),
        timeout_s=limits.timeout_s,
        parameters=read_parameters(data),
        stream=asked.stream,
        prefix=prefix,
        vectors=asks_for_vectors(data),
        max_tokens_default=limits.max_tokens,
    )
    return with_controls(request, data, headers, limits)


def asks_for_vectors(data: Mapping[str, Any]) -> bool:
    """Return whether a body says that its answer has to be vectors. Any other `task` is an input of the model."""
    return data.get("task") == VECTOR_TASK


def extract_text(data: Mapping[str, Any]) -> str:
    """Return the text of a request, by the rule of `TEXT_KEYS`.

    Raises:
        InvalidRequestError: there is no text that is not blank.
    """
    present = [key for key in TEXT_KEYS if key in data]
    for key in present:
        value = data[key]
        if is_blank(value):
            continue
        if isinstance(value, str):
            return value
        if key == "input":
            return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        raise refuse(key, value, "text that is not blank")
    if present:
        raise InvalidRequestError(Problem(present[0], "is empty", "text that is not blank"))
    raise InvalidRequestError(Problem("text", "is missing", f"one of: {_TEXT_FIELDS}, messages"))


def _read_messages(sent: list[Any] | None, data: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    if sent is None:
        return ()
    if clash := next((key for key in TEXT_KEYS if key in data), ""):
        raise InvalidRequestError(Problem("messages", f"and {clash} are both given", "one of them"))
    if not sent:
        raise refuse("messages", sent, _MESSAGES)
    return tuple(_read_message(message, f"messages[{place}]") for place, message in enumerate(sent))


def _read_message(message: Any, place: str) -> Mapping[str, str]:
    if not isinstance(message, Mapping):
        raise refuse(place, message, _MESSAGES)
    turn = read_struct(message, Turn, place)
    return {"role": turn.role, "content": turn.content}
