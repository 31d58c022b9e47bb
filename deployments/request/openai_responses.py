"""Reads OpenAI's Responses: the fields of `POST /v1/responses`.

    instructions, input            the conversation: see `items`
    text, tools, tool_choice, …    the form of the answer: see `response_tools`
    max_output_tokens              the longest answer, beside the sampling parameters that have the same name everywhere
    reasoning.effort               `reasoning_effort`, and `text.verbosity` is `verbosity`: hints
    reasoning.summary              where reasoning is told: see `ResponsesRequest`
    include                        `message.output_text.logprobs` asks for log probabilities, with `top_logprobs`
    metadata                       comes back with the answer, and is passed on
    truncation, max_tool_calls, …  no chat can be asked for them: its answer lists them as dropped
    background, conversation, …    refused, unless they ask for nothing

All other fields are unknown, and are treated as those of a chat: see `passing`. A remote model that speaks this format
gets the body as it was sent, with the whole conversation in `input`, and what is read here has no part in it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.fields import MAX_TYPE, read_flag, read_model, read_name, read_object, refuse
from deployments.request.inference import Feature, InferenceRequest, Sent
from deployments.request.items import read_input_items
from deployments.request.passing import TopLogprobs, read_passed
from deployments.request.response_tools import OF_FORM, read_form, read_text
from deployments.request.sampling import SAMPLING_KEYS, Count, Parameters, read_parameters
from deployments.request.structs import does, read_struct

LOGPROBS_INCLUDED = "message.output_text.logprobs"
MOST_METADATA, LONGEST_METADATA_KEY, LONGEST_METADATA = 16, 64, 512
MOST_INCLUDED = 32

_FOREIGN = frozenset({"context_management", "max_tool_calls", "prompt_cache_options"})
_READ_HERE = frozenset(
    {"instructions", "input", "model", "user", "stream", "max_output_tokens", "top_logprobs", "include", "reasoning"}
    | {"truncation", "background", "stream_options", "previous_response_id", "client_metadata"}
)
RESPONSES_PARAMETERS = CONTROL_KEYS | _FOREIGN | _READ_HERE | OF_FORM | (frozenset(SAMPLING_KEYS) - {"max_tokens"})
RESPONSES_UNSUPPORTED = frozenset(
    {"best_of", "conversation", "logprobs", "max_completion_tokens", "max_tokens", "messages", "n", "prompt"}
    | {"response_format", "suffix"}
)
"""Keys of other formats, and those that stand for what another service keeps: conversations, prompts."""

_ROUTED = CONTROL_KEYS | {"model", "stream", "background", "previous_response_id"}


class _ResponsesParameters(Parameters, frozen=True, rename={"max_tokens": "max_output_tokens"}):
    """The sampling parameters, by the names that they have in this format."""

    max_tokens: Annotated[Count | None, does("The longest answer in tokens.")] = None


_METADATA = (
    f"an object of at most {MOST_METADATA} texts of at most {LONGEST_METADATA} characters, with names of at most "
    f"{LONGEST_METADATA_KEY}"
)
_REASONING = "an object with `effort` or `summary`"


class _Logprobs(Struct, frozen=True):
    top_logprobs: TopLogprobs = 0


class ResponsesRequest(Struct, frozen=True):
    """A request of the format.

    Attributes:
        request: as all models are asked.
        sent: the fields as they were sent: a response repeats some of them.
        before: the items of the conversation that it goes on with.
    """

    request: InferenceRequest
    sent: Mapping[str, Any]
    before: tuple[Mapping[str, Any], ...] = ()

    @property
    def wants_summary(self) -> bool:
        """Whether reasoning is to be told as a summary: its clients look for it there."""
        reasoning = self.sent.get("reasoning") or {}
        return bool(reasoning.get("summary") or reasoning.get("generate_summary"))

    @property
    def items(self) -> tuple[Mapping[str, Any], ...]:
        """The items of the conversation up to now."""
        sent = self.sent["input"]
        return (*self.before, *([{"role": "user", "content": sent}] if isinstance(sent, str) else sent))

    @property
    def wants_storing(self) -> bool | None:
        """Whether the response is to be stored; `None` where the caller does not say."""
        wanted: bool | None = self.sent.get("store")
        return wanted


def responses_request(
    data: Mapping[str, Any],
    limits: Limits,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    before: Sequence[Mapping[str, Any]] = (),
) -> ResponsesRequest:
    """Read the fields of `POST /v1/responses`.

    Args:
        data: the fields.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.
        before: the items of the conversation that `previous_response_id` stands for.

    Raises:
        InvalidRequestError: the request is not valid; the problem says why.
    """
    chat = read_input_items(read_name(data, "instructions"), data.get("input"), before)
    wanted, of_form = read_form(data)
    passed = read_passed(data, RESPONSES_PARAMETERS, RESPONSES_UNSUPPORTED)
    hints, of_hints = _read_hints(data)
    logprobs, of_logprobs = _read_logprobs(data)
    features = (*chat.features, *passed.features, *of_hints, *of_logprobs, *of_form, *_read_foreign(data))
    _check_metadata(data)
    read_object(data, "stream_options", "an object")
    fields = {**passed.fields, **hints, **logprobs}
    if read_flag(data, "store"):  # it is here that it is to be stored; a provider is told where it is not to be
        del fields["store"]
    request = InferenceRequest(
        inputs={"messages": list(chat.turns)},
        text="",
        messages=chat.messages,
        turns=chat.turns,
        parameters=read_parameters(data, _ResponsesParameters),
        response_format=wanted,
        model=read_model(data.get("model")),
        timeout_s=limits.timeout_s,
        user=read_name(data, "user"),
        stream=read_flag(data, "stream") or False,
        passthrough=fields,
        features=tuple({feature.name: feature for feature in features}.values()),
        max_tokens_default=limits.max_tokens,
        sent=_read_sent(data, before),
    )
    return ResponsesRequest(with_controls(request, data, headers, limits), data, tuple(before))


def _read_sent(data: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Sent:
    """Return the body for upstreams of this format. What is stored is stored here, so nothing is referred to there."""
    body = {key: value for key, value in data.items() if key not in _ROUTED and value is not None}
    if body.get("store"):
        del body["store"]
    sent = data["input"]
    items = [*before, *([{"role": "user", "content": sent}] if isinstance(sent, str) else sent)]
    body["input"] = [item for item in items if item.get("type") != "item_reference"]
    return Sent("responses", body)


def _read_hints(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return what a chat calls `reasoning_effort` and `verbosity`, as fields, and the features that they are."""
    reasoning = read_object(data, "reasoning", _REASONING)
    hints: dict[str, Any] = {}
    features: list[Feature] = []
    for name, place, value in (
        ("reasoning_effort", "reasoning.effort", reasoning.get("effort")),
        ("verbosity", "text.verbosity", read_text(data).get("verbosity")),
    ):
        if value is None:
            continue
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TYPE:
            raise refuse(place, value, "low, medium, high or what an upstream takes")
        hints[name] = value
        features.append(Feature(name, place, essential=False))
    return hints, tuple(features)


def _read_logprobs(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return the fields of a chat that ask for log probabilities, and the feature that they are."""
    included = data.get("include")
    if included is not None and (
        not isinstance(included, list)
        or len(included) > MOST_INCLUDED
        or not all(isinstance(each, str) for each in included)
    ):
        raise refuse("include", included, f"a list of at most {MOST_INCLUDED} texts, such as {LOGPROBS_INCLUDED}")
    most = read_struct(data, _Logprobs).top_logprobs
    is_included = LOGPROBS_INCLUDED in (included or ())
    if not is_included and not most:
        return {}, ()
    place = "include" if is_included else "top_logprobs"
    return {"logprobs": True, **({"top_logprobs": most} if most else {})}, (Feature("logprobs", place),)


def _read_foreign(data: Mapping[str, Any]) -> list[Feature]:
    """Return what has no place in a chat; what asks for another way of answering is refused."""
    if read_flag(data, "background"):
        raise InvalidRequestError(Problem("background", "is not supported", "false: the answer is in the response"))
    names = [name for name in sorted(_FOREIGN) if data.get(name)]
    match data.get("truncation"):
        case None | "disabled":
            pass
        case "auto":
            names.append("truncation")
        case other:
            raise refuse("truncation", other, "disabled or auto")
    return [Feature(name, name, essential=False, foreign=True) for name in names]


def _check_metadata(data: Mapping[str, Any]) -> None:
    """Check `metadata`, which comes back with the response."""
    metadata = read_object(data, "metadata", _METADATA)
    if len(metadata) > MOST_METADATA:
        raise InvalidRequestError(Problem("metadata", f"has {len(metadata)} fields", _METADATA))
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise refuse(f"metadata.{key[:LONGEST_METADATA_KEY]}", value, _METADATA)
        if len(key) > LONGEST_METADATA_KEY or len(value) > LONGEST_METADATA:
            raise InvalidRequestError(Problem(f"metadata.{key[:LONGEST_METADATA_KEY]}", "is too long", _METADATA))
