"""Reads OpenAI's chat completions and completions: their fields are in `openai_fields`."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.body_form import BodyForm
from deployments.request.chat import read_chat
from deployments.request.controls import CONTINUE_HEADER, NO_HEADERS, with_controls
from deployments.request.conversation import Chat
from deployments.request.entries import counting_entries
from deployments.request.fields import read_model
from deployments.request.inference import AS_A_CHAT, Feature, InferenceRequest, Sent
from deployments.request.openai_fields import CHAT_FORM, COMPLETION_FORM, ChatBody, CompletionBody, StreamOptions
from deployments.request.passing import PassedOn
from deployments.request.prompts import RawPrompt, read_prompts
from deployments.request.response_format import FOREIGN_FORMAT, format_features, read_response_format
from deployments.request.sampling import Parameters, check_lengths, read_parameters
from deployments.request.structs import read_struct, without_nulls

_NEWER = "max_completion_tokens"
_BOUNDS = ("max_tokens", _NEWER)
_GOES_ON, _BEGINS = "continue_final_message", "add_generation_prompt"
_NO_CHAT = Chat((), (), "")
_STREAM_OPTIONS = frozenset(StreamOptions.__struct_fields__)


class OpenAIRequest(Struct, frozen=True):
    """The requests of one API call.

    Attributes:
        requests: a request for each choice of the answer, in order; at least one.
        include_usage: the stream is to end with a chunk of token counts.
        usage_in_each: every chunk is to have those so far, too.
        echo: each text is to begin with what is `repeated` of its request. Where more than the text of a prompt is to
            be told, a model has to do that itself, and the requests have `echo` among the fields that are passed on.
    """

    requests: tuple[InferenceRequest, ...]
    include_usage: bool = False
    usage_in_each: bool = False
    echo: bool = False

    @property
    def stream(self) -> bool:
        """Whether the answer is to be sent piece by piece."""
        return self.requests[0].stream


def repeated(request: InferenceRequest) -> str:
    """Return what `echo` repeats before an answer: a prompt; of a chat, as in vLLM, an assistant's turn at its end."""
    if request.prefix or not request.messages:
        return request.prefix or request.text
    last = request.messages[-1]
    return last["content"] if last["role"] == "assistant" else ""


@counting_entries
def chat_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/chat/completions`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = _without_no_bounds(without_nulls(decode_object(body, limits)))
    asked = read_struct(data, ChatBody)
    goes_on = _read_goes_on(data, headers)
    chat = read_chat(data["messages"], asked.messages, goes_on=goes_on)
    if goes_on and not chat.prefix:
        accepted = "an assistant's message at the end of messages, or false"
        raise InvalidRequestError(Problem(_GOES_ON, "is true, and the last message is no assistant's", accepted))
    parameters = _with_newer_name(read_parameters(data), asked)
    request = _read_common(
        data,
        asked,
        headers,
        limits,
        form=CHAT_FORM,
        inputs={"messages": data["messages"]},
        parameters=parameters,
        chat=chat,
    )
    if goes_on:  # in vLLM's words, for remote models, and no feature: our own models carry on, too
        features = tuple(feature for feature in request.features if feature.name not in (_GOES_ON, _BEGINS))
        told = {_GOES_ON: True, _BEGINS: False} if _GOES_ON in request.passthrough else {}
        request = replace(request, features=features, passthrough={**request.passthrough, **told})
    return OpenAIRequest((request,), *_usage_wanted(asked), asked.echo)


@counting_entries
def completion_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/completions`; see `chat_request`."""
    data = _without_no_bounds(without_nulls(decode_object(body, limits)))
    asked = read_struct(data, CompletionBody)
    request = _read_common(
        data, asked, headers, limits, form=COMPLETION_FORM, inputs={}, parameters=read_parameters(data)
    )
    prompts = read_prompts(asked.prompt)
    if len(prompts) > 1 and "n" in request.passthrough:
        raise InvalidRequestError(Problem("n", "is given with several prompts", "1, or a single prompt"))
    request, echo = _with_logprobs(request, asked.logprobs), asked.echo
    if echo and (request.logprobs is not None or any(prompt.tokens for prompt in prompts)):
        echo, request = False, _with(request, "echo", {"echo": True})
    requests = [
        replace(request, inputs=_inputs(prompt), text=prompt.text, prompt_tokens=prompt.tokens, raw=True)
        for prompt in prompts
    ]
    return OpenAIRequest(tuple(requests), *_usage_wanted(asked), echo)


def _inputs(prompt: RawPrompt) -> Mapping[str, Any]:
    return {"text": prompt.text} if prompt.text else {"prompt": list(prompt.tokens)}


def _with_logprobs(request: InferenceRequest, top: int | None) -> InferenceRequest:
    """Return `request` with the `logprobs` of a text completion, in the terms of chats: upstreams are asked for one."""
    if top is None:
        return request
    return _with(request, "logprobs", {"logprobs": True, **({"top_logprobs": top} if top else {})})


def _with(request: InferenceRequest, feature: str, fields: Mapping[str, Any]) -> InferenceRequest:
    """Return `request` with a feature, and the fields that ask models for it."""
    features = (*request.features, Feature(feature, feature))
    return replace(request, passthrough={**request.passthrough, **fields}, features=features)


def _read_common(
    data: Mapping[str, Any],
    asked: ChatBody | CompletionBody,
    headers: Mapping[str, str],
    limits: Limits,
    *,
    form: BodyForm,
    inputs: Mapping[str, Any],
    parameters: Parameters,
    chat: Chat = _NO_CHAT,
) -> InferenceRequest:
    """Build a request from the fields that both formats share and the parts that a format has read itself.

    Args:
        data: the body.
        asked: the same, read.
        headers: see `chat_request`.
        limits: see `chat_request`.
        form: the format.
        inputs: the input of a `python` model.
        parameters: the sampling parameters.
        chat: the messages.
    """
    passed = form.passed_on(data)
    wanted = read_response_format(data)
    fields, of_form = passed.fields, format_features(data, wanted)
    if of_form and any(feature.name == FOREIGN_FORMAT for feature in of_form):
        fields = {**fields, FOREIGN_FORMAT: data[FOREIGN_FORMAT]}
    options, of_stream = _passed_options(data)
    features = {feature.name: feature for feature in (*of_stream, *chat.features, *passed.features, *of_form)}
    request = InferenceRequest(
        inputs=inputs,
        text="",
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        prefix_turn=chat.prefix_turn,
        parameters=parameters,
        response_format=wanted,
        model=read_model(asked.model),
        timeout_s=limits.timeout_s,
        user=asked.user,
        stream=asked.stream,
        passthrough={**fields, **options},
        features=tuple(features.values()),
        max_tokens_default=limits.max_tokens,
        sent=_read_sent(data),
    )
    return with_controls(request, data, headers, limits)


def _without_no_bounds(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `data` without bounds of -1: that is how llama.cpp and LM Studio are told that there is none."""
    idle = [key for key in _BOUNDS if type(data.get(key)) is int and data[key] == -1]
    return {key: value for key, value in data.items() if key not in idle} if idle else data


def _read_sent(data: Mapping[str, Any]) -> Sent:
    """Return what the caller calls by another name than a request does, for whoever complains of it."""
    newer, older = data.get(_NEWER), data.get("max_tokens")
    return AS_A_CHAT if newer is None or older is not None else Sent(body={_NEWER: newer})


def _with_newer_name(parameters: Parameters, asked: ChatBody) -> Parameters:
    """Return the sampling parameters of a chat, which has two names for the longest answer."""
    newer = asked.max_completion_tokens
    if newer is None or newer == parameters.max_tokens:
        return parameters
    if parameters.max_tokens is not None:
        accepted = "the same number in both, or only one of them"
        raise InvalidRequestError(Problem(_NEWER, "differs from max_tokens", accepted))
    parameters = replace(parameters, max_tokens=newer)
    check_lengths(parameters)
    return parameters


def _read_goes_on(data: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Return whether the last message begins the answer: in the words of vLLM, of Mistral, or of a service of ours."""
    asked = None
    if _GOES_ON in data or _BEGINS in data:
        told = read_struct(data, PassedOn)
        asked = told.continue_final_message
        if asked and data.get(_BEGINS):
            raise InvalidRequestError(Problem(_BEGINS, f"is true, and so is {_GOES_ON}", "one of them"))
    last = data["messages"][-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return asked or False
    return asked or last.get("prefix") is True or headers.get(CONTINUE_HEADER) == "true"


def _usage_wanted(asked: ChatBody | CompletionBody) -> tuple[bool, bool]:
    """Return whether a stream is to end with token counts, and whether each chunk is to have them, as vLLM does it."""
    options = asked.stream_options
    if options is None:
        return False, False
    return options.include_usage, options.include_usage and options.continuous_usage_stats


def _passed_options(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return the options of a stream that are passed on, as a field, and the features that they use."""
    options = data.get("stream_options")
    if not options:
        return {}, ()
    if not data.get("stream"):
        raise InvalidRequestError(Problem("stream_options", "is given without stream", "stream: true beside it"))
    others = {key: each for key, each in options.items() if key not in _STREAM_OPTIONS and each is not None}
    if not others:
        return {}, ()
    return {"stream_options": others}, (Feature("stream_options", f"stream_options.{next(iter(others))[:64]}"),)
