"""Reads OpenAI's chat completions and completions.

Tables name the keys that are read here. Of the others, `passing` decides which ones are passed on to upstreams.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.chat import read_chat
from deployments.request.controls import CONTINUE_HEADER, CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.conversation import Chat
from deployments.request.fields import read_count, read_flag, read_model, read_name, read_object
from deployments.request.inference import Feature, InferenceRequest
from deployments.request.knobs import Whole
from deployments.request.passing import MAX_TOP_LOGPROBS, read_passed
from deployments.request.prompts import RawPrompt, read_prompts
from deployments.request.response_format import FOREIGN_FORMAT, FORMAT_KEYS, format_features, read_response_format
from deployments.request.sampling import SAMPLING_KEYS, Parameters, check_lengths, read_parameters

_COMMON = CONTROL_KEYS | {*SAMPLING_KEYS, "model", "user", "stream", "stream_options"}

CHAT_PARAMETERS = _COMMON | FORMAT_KEYS | {"messages", "max_completion_tokens", "echo"}
CHAT_UNSUPPORTED = frozenset({"prompt", "best_of", "suffix"})
"""Keys of text completions, which are refused in a chat."""

COMPLETION_PARAMETERS = _COMMON | {"prompt", "echo", "logprobs"}
COMPLETION_UNSUPPORTED = FORMAT_KEYS | {
    "audio",
    "function_call",
    "functions",
    "messages",
    "modalities",
    "top_logprobs",
}
"""Keys of chats, which are refused in a text completion."""

_STREAM_OPTIONS = frozenset({"include_usage", "include_obfuscation", "continuous_usage_stats"})
_GOES_ON, _BEGINS = "continue_final_message", "add_generation_prompt"
_NO_CHAT = Chat((), (), "")


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


def chat_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/chat/completions`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = decode_object(body, limits)
    goes_on = _read_goes_on(data, headers)
    chat = read_chat(data.get("messages"), goes_on=goes_on)
    if goes_on and not chat.prefix:
        accepted = "an assistant's message at the end of messages, or false"
        raise InvalidRequestError(Problem(_GOES_ON, "is true, and the last message is no assistant's", accepted))
    request = _read_common(
        data,
        headers,
        limits,
        inputs={"messages": data["messages"]},
        chat=chat,
        parameters=_read_chat_parameters(data),
        known=CHAT_PARAMETERS,
        refused=CHAT_UNSUPPORTED,
    )
    if goes_on:  # in vLLM's words, for remote models, and no feature: our own models carry on, too
        features = tuple(feature for feature in request.features if feature.name not in (_GOES_ON, _BEGINS))
        told = {_GOES_ON: True, _BEGINS: False} if _GOES_ON in request.passthrough else {}
        request = replace(request, features=features, passthrough={**request.passthrough, **told})
    return OpenAIRequest((request,), *_read_usage_wanted(data), read_flag(data, "echo") or False)


def completion_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/completions`; see `chat_request`."""
    data = decode_object(body, limits)
    request = _read_common(
        data,
        headers,
        limits,
        inputs={},
        parameters=read_parameters(data),
        known=COMPLETION_PARAMETERS,
        refused=COMPLETION_UNSUPPORTED,
    )
    prompts = read_prompts(data.get("prompt"))
    if len(prompts) > 1 and "n" in request.passthrough:
        raise InvalidRequestError(Problem("n", "is given with several prompts", "1, or a single prompt"))
    request = _with_logprobs(request, data)
    echo = read_flag(data, "echo") or False
    if echo and (request.logprobs is not None or any(prompt.tokens for prompt in prompts)):
        echo, request = False, _with(request, "echo", {"echo": True})
    requests = [
        replace(request, inputs=_inputs(prompt), text=prompt.text, prompt_tokens=prompt.tokens, raw=True)
        for prompt in prompts
    ]
    return OpenAIRequest(tuple(requests), *_read_usage_wanted(data), echo)


def _inputs(prompt: RawPrompt) -> Mapping[str, Any]:
    return {"text": prompt.text} if prompt.text else {"prompt": list(prompt.tokens)}


def _with_logprobs(request: InferenceRequest, data: Mapping[str, Any]) -> InferenceRequest:
    """Return `request` with the `logprobs` of a text completion, in the terms of chats: upstreams are asked for one."""
    value = data.get("logprobs")
    if value is None:
        return request
    top = Whole(0, MAX_TOP_LOGPROBS).read("logprobs", value)
    return _with(request, "logprobs", {"logprobs": True, **({"top_logprobs": top} if top else {})})


def _with(request: InferenceRequest, feature: str, fields: Mapping[str, Any]) -> InferenceRequest:
    """Return `request` with a feature, and the fields that ask models for it."""
    features = (*request.features, Feature(feature, feature))
    return replace(request, passthrough={**request.passthrough, **fields}, features=features)


def _read_common(
    data: Mapping[str, Any],
    headers: Mapping[str, str],
    limits: Limits,
    *,
    inputs: Mapping[str, Any],
    parameters: Parameters,
    known: frozenset[str],
    refused: frozenset[str],
    chat: Chat = _NO_CHAT,
) -> InferenceRequest:
    """Build a request from the keys that both formats share and the parts that a format has read itself.

    Args:
        data: the body.
        headers: see `chat_request`.
        limits: see `chat_request`.
        inputs: the input of a `python` model.
        parameters: the sampling parameters.
        known: the keys of the format that are read here.
        refused: the keys that the format does not have.
        chat: the messages.
    """
    wanted = read_response_format(data)
    of_form = format_features(data, wanted)
    if of_form and any(feature.name == FOREIGN_FORMAT for feature in of_form):
        known -= {FOREIGN_FORMAT}
    passed = read_passed(data, known, refused)
    options, of_stream = _read_stream_options(data)
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
        model=read_model(data),
        timeout_s=limits.timeout_s,
        user=read_name(data, "user"),
        stream=read_flag(data, "stream") or False,
        passthrough={**passed.fields, **options},
        features=tuple(features.values()),
        max_tokens_default=limits.max_tokens,
    )
    return with_controls(request, data, headers, limits)


def _read_chat_parameters(data: Mapping[str, Any]) -> Parameters:
    """Read the sampling parameters of a chat, which has two names for the longest answer."""
    parameters, newer = read_parameters(data), read_count(data, "max_completion_tokens")
    if newer is None or newer == parameters.max_tokens:
        return parameters
    if parameters.max_tokens is not None:
        accepted = "the same number in both, or only one of them"
        raise InvalidRequestError(Problem("max_completion_tokens", "differs from max_tokens", accepted))
    parameters = replace(parameters, max_tokens=newer)
    check_lengths(parameters)
    return parameters


def _read_goes_on(data: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Return whether the last message begins the answer: in the words of vLLM, of Mistral, or of a service of ours."""
    asked = None
    if _GOES_ON in data or _BEGINS in data:
        asked, begins = read_flag(data, _GOES_ON), read_flag(data, _BEGINS)
        if asked and begins:
            raise InvalidRequestError(Problem(_BEGINS, f"is true, and so is {_GOES_ON}", "one of them"))
    messages = data.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return asked or False
    return asked or last.get("prefix") is True or headers.get(CONTINUE_HEADER) == "true"


def _read_usage_wanted(data: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether a stream is to end with token counts, and whether each chunk is to have them, as vLLM does it."""
    if data.get("stream_options") is None:
        return False, False
    options = read_object(data, "stream_options", "an object with include_usage (true or false)")
    if options and not data.get("stream"):
        raise InvalidRequestError(Problem("stream_options", "is given without stream", "stream: true beside it"))
    at_end, in_each = read_flag(options, "include_usage") or False, read_flag(options, "continuous_usage_stats")
    return at_end, at_end and bool(in_each)


def _read_stream_options(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return the options that are passed on, as a field, and the features that they use."""
    if data.get("stream_options") is None:
        return {}, ()
    options = read_object(data, "stream_options", "an object")
    if options.keys() <= _STREAM_OPTIONS:
        return {}, ()
    others = {key: value for key, value in options.items() if key not in _STREAM_OPTIONS and value is not None}
    if not others:
        return {}, ()
    return {"stream_options": others}, (Feature("stream_options", f"stream_options.{next(iter(others))[:64]}"),)
