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
from typing import Any

from msgspec import Struct

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.entries import counting_entries
from deployments.request.fields import read_model
from deployments.request.inference import Feature, InferenceRequest, Sent
from deployments.request.items import read_input_items
from deployments.request.response_tools import read_form
from deployments.request.responses_fields import (
    LOGPROBS_INCLUDED,
    RESPONSES_FORM,
    ResponsesBody,
    ResponsesParameters,
)
from deployments.request.sampling import read_parameters
from deployments.request.structs import read_struct, without_nulls

_ROUTED = CONTROL_KEYS | {"model", "stream", "background", "previous_response_id"}
_FOREIGN = ("context_management", "max_tool_calls", "prompt_cache_options")


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


@counting_entries
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
    fields_sent = without_nulls(data)
    asked = read_struct(fields_sent, ResponsesBody)
    chat = read_input_items(asked.instructions, asked.input, before)
    wanted, of_form = read_form(asked)
    passed = RESPONSES_FORM.passed_on(fields_sent)
    hints, of_hints = _read_hints(asked)
    logprobs, of_logprobs = _read_logprobs(asked)
    features = (*chat.features, *passed.features, *of_hints, *of_logprobs, *of_form, *_read_foreign(asked))
    fields = {**passed.fields, **hints, **logprobs}
    if fields.get("store"):  # it is here that it is to be stored; a provider is told where it is not to be
        del fields["store"]
    request = InferenceRequest(
        inputs={"messages": list(chat.turns)},
        text="",
        messages=chat.messages,
        turns=chat.turns,
        parameters=read_parameters(fields_sent, ResponsesParameters),
        response_format=wanted,
        model=read_model(asked.model),
        timeout_s=limits.timeout_s,
        user=asked.user,
        stream=asked.stream,
        passthrough=fields,
        features=tuple({feature.name: feature for feature in features}.values()),
        max_tokens_default=limits.max_tokens,
        sent=_read_sent(data, before),
    )
    return ResponsesRequest(with_controls(request, fields_sent, headers, limits), data, tuple(before))


def _read_sent(data: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Sent:
    """Return the body for upstreams of this format. What is stored is stored here, so nothing is referred to there."""
    body = {key: value for key, value in data.items() if key not in _ROUTED and value is not None}
    if body.get("store"):
        del body["store"]
    sent = data["input"]
    items = [*before, *([{"role": "user", "content": sent}] if isinstance(sent, str) else sent)]
    body["input"] = [item for item in items if item.get("type") != "item_reference"]
    return Sent("responses", body)


def _read_hints(asked: ResponsesBody) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return what a chat calls `reasoning_effort` and `verbosity`, as fields, and the features that they are."""
    found = (
        ("reasoning_effort", "reasoning.effort", asked.reasoning and asked.reasoning.effort),
        ("verbosity", "text.verbosity", asked.text and asked.text.verbosity),
    )
    hints = {name: value for name, _, value in found if value}
    return hints, tuple(Feature(name, place, essential=False) for name, place, value in found if value)


def _read_logprobs(asked: ResponsesBody) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return the fields of a chat that ask for log probabilities, and the feature that they are."""
    most, is_included = asked.top_logprobs, LOGPROBS_INCLUDED in (asked.include or ())
    if not is_included and not most:
        return {}, ()
    place = "include" if is_included else "top_logprobs"
    return {"logprobs": True, **({"top_logprobs": most} if most else {})}, (Feature("logprobs", place),)


def _read_foreign(asked: ResponsesBody) -> list[Feature]:
    """Return what has no place in a chat; what asks for another way of answering is refused."""
    if asked.background:
        raise InvalidRequestError(Problem("background", "is not supported", "false: the answer is in the response"))
    names = [name for name in _FOREIGN if getattr(asked, name)]
    if asked.truncation == "auto":
        names.append("truncation")
    return [Feature(name, name, essential=False, foreign=True) for name in names]
