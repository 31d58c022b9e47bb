"""Reads OpenAI's chat completions and completions.

Tables name the keys that are read here. Of the others, `passing` decides which ones are passed on to upstreams.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode
from deployments.request.chat import Chat, read_chat
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, read_controls
from deployments.request.fields import read_count, read_flag, read_model, read_name, read_object, refuse
from deployments.request.inference import Feature, InferenceRequest, Parameters
from deployments.request.passing import read_passed
from deployments.request.response_format import FOREIGN_FORMAT, FORMAT_KEYS, format_features, read_response_format
from deployments.request.sampling import read_logit_bias, read_parameters

MAX_PROMPTS = 16

_SAMPLING = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
    }
)
_COMMON = _SAMPLING | CONTROL_KEYS | {"model", "user", "stream", "stream_options"}

CHAT_PARAMETERS = _COMMON | FORMAT_KEYS | {"messages", "max_completion_tokens"}
CHAT_UNSUPPORTED = frozenset({"prompt", "best_of", "echo", "suffix"})
"""Keys of text completions, which are refused in a chat."""

COMPLETION_PARAMETERS = _COMMON | {"prompt"}
COMPLETION_UNSUPPORTED = FORMAT_KEYS | {
    "audio",
    "best_of",
    "echo",
    "function_call",
    "functions",
    "logprobs",
    "messages",
    "modalities",
    "suffix",
    "top_logprobs",
}
"""Keys that no model can be asked for: upstreams are asked for a chat, and its answer has no place in a completion."""

_STREAM_OPTIONS = frozenset({"include_usage", "include_obfuscation"})
_NO_CHAT = Chat((), (), "")
_PROMPT = f"a text, or a list of 1 to {MAX_PROMPTS} texts; token ids are not supported"


class OpenAIRequest(Struct, frozen=True):
    """The requests of one API call.

    Attributes:
        requests: a request for each choice of the answer, in order; at least one.
        include_usage: the stream is to end with a chunk of token counts.
    """

    requests: tuple[InferenceRequest, ...]
    include_usage: bool = False

    @property
    def stream(self) -> bool:
        """Whether the answer is to be sent piece by piece."""
        return self.requests[0].stream


def chat_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/chat/completions`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = _read_object(body, limits)
    chat = read_chat(data.get("messages"))
    request = _read_common(
        data,
        headers,
        limits,
        inputs={"messages": data["messages"]},
        chat=chat,
        parameters=_read_sampling(data, _read_max_tokens(data)),
        known=CHAT_PARAMETERS,
        refused=CHAT_UNSUPPORTED,
    )
    return OpenAIRequest((request,), _read_include_usage(data))


def completion_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/completions`; see `chat_request`."""
    data = _read_object(body, limits)
    request = _read_common(
        data,
        headers,
        limits,
        inputs={},
        parameters=_read_sampling(data, read_count(data, "max_tokens")),
        known=COMPLETION_PARAMETERS,
        refused=COMPLETION_UNSUPPORTED,
    )
    texts = _read_prompts(data.get("prompt"))
    if len(texts) > 1 and "n" in request.passthrough:
        raise InvalidRequestError(Problem("n", "is given with several prompts", "1, or a single prompt"))
    return OpenAIRequest(
        tuple(replace(request, inputs={"text": text}, text=text) for text in texts), _read_include_usage(data)
    )


def _read_object(body: bytes, limits: Limits) -> Mapping[str, Any]:
    data = decode(body, limits)
    if not isinstance(data, Mapping):
        raise refuse("body", data, "a JSON object")
    return data


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
    controls = read_controls(data, headers, limits)
    wanted = read_response_format(data)
    of_form = format_features(data, wanted)
    if any(feature.name == FOREIGN_FORMAT for feature in of_form):
        known -= {FOREIGN_FORMAT}
    passed = read_passed(data, known, refused)
    options, of_stream = _read_stream_options(data)
    features = {feature.name: feature for feature in (*of_stream, *chat.features, *passed.features, *of_form)}
    return InferenceRequest(
        inputs=inputs,
        text="",
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        prefix_turn=chat.prefix_turn,
        parameters=parameters,
        response_format=wanted,
        model=read_model(data),
        user=read_name(data, "user"),
        stream=read_flag(data, "stream") or False,
        passthrough={**passed.fields, **options},
        features=tuple(features.values()),
        **asdict(controls),
    )


def _read_sampling(data: Mapping[str, Any], max_tokens: int | None) -> Parameters:
    parameters, bias = read_parameters(data), read_logit_bias(data)
    if not bias and max_tokens == parameters.max_tokens:
        return parameters
    return replace(parameters, logit_bias=bias, max_tokens=max_tokens)


def _read_max_tokens(data: Mapping[str, Any]) -> int | None:
    old, new = read_count(data, "max_tokens"), read_count(data, "max_completion_tokens")
    if old is not None and new is not None and old != new:
        accepted = "the same number in both, or only one of them"
        raise InvalidRequestError(Problem("max_completion_tokens", "differs from max_tokens", accepted))
    return old if new is None else new


def _read_include_usage(data: Mapping[str, Any]) -> bool:
    options = read_object(data, "stream_options", "an object with include_usage (true or false)")
    if options and not data.get("stream"):
        raise InvalidRequestError(Problem("stream_options", "is given without stream", "stream: true beside it"))
    return read_flag(options, "include_usage") or False


def _read_stream_options(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Feature, ...]]:
    """Return the options that are passed on, as a field, and the features that they use."""
    options = read_object(data, "stream_options", "an object")
    if options.keys() <= _STREAM_OPTIONS:
        return {}, ()
    others = {key: value for key, value in options.items() if key not in _STREAM_OPTIONS and value is not None}
    if not others:
        return {}, ()
    return {"stream_options": others}, (Feature("stream_options", f"stream_options.{next(iter(others))[:64]}"),)


def _read_prompts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        if is_blank(value):
            raise InvalidRequestError(Problem("prompt", "is empty", "text that is not blank"))
        return (value,)
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PROMPTS:
        raise refuse("prompt", value, _PROMPT)
    for place, text in enumerate(value):
        if not isinstance(text, str):
            raise refuse(f"prompt[{place}]", text, _PROMPT)
        if is_blank(text):
            raise InvalidRequestError(Problem(f"prompt[{place}]", "is empty", "text that is not blank"))
    return tuple(value)
