"""Reads OpenAI's chat completions and completions. Tables name the keys that are read, ignored, and not supported.

A key in none of the tables is refused, so that a misspelt key is not dropped silently.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode
from deployments.request.chat import Chat, read_chat
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, read_controls
from deployments.request.fields import read_count, read_flag, read_model, read_name, read_object, refuse
from deployments.request.inference import ANY_FORMAT, InferenceRequest, Parameters, ResponseFormat
from deployments.request.response_format import FORMAT_KEYS, read_response_format
from deployments.request.sampling import read_logit_bias, read_parameters

MAX_PROMPTS = 16

IGNORED = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
    }
)
"""Keys that are accepted without effect: hints, and keys about how a provider stores, bills or routes."""

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
_COMMON = _SAMPLING | CONTROL_KEYS | IGNORED | {"model", "user", "stream", "stream_options"}

CHAT_PARAMETERS = _COMMON | FORMAT_KEYS | {"messages", "max_completion_tokens"}
CHAT_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "functions": (),
    "function_call": (),
    "audio": (),
    "modalities": (["text"],),
    "prediction": (),
    "web_search_options": (),
}
"""Keys that are not supported, with the values that are accepted because they ask for nothing; so does `null`."""

COMPLETION_PARAMETERS = _COMMON | {"prompt"}
COMPLETION_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False, 0),
}

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
    data = _read_object(body, limits, CHAT_PARAMETERS, CHAT_UNSUPPORTED)
    chat = read_chat(data.get("messages"))
    request = _read_common(
        data,
        headers,
        limits,
        inputs={"messages": data["messages"]},
        chat=chat,
        parameters=_read_sampling(data, _read_max_tokens(data)),
        response_format=read_response_format(data),
    )
    return OpenAIRequest((request,), _read_include_usage(data))


def completion_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> OpenAIRequest:
    """Read the body of `POST /v1/completions`; see `chat_request`."""
    data = _read_object(body, limits, COMPLETION_PARAMETERS, COMPLETION_UNSUPPORTED)
    parameters = _read_sampling(data, read_count(data, "max_tokens"))
    request = _read_common(data, headers, limits, inputs={}, parameters=parameters)
    texts = _read_prompts(data.get("prompt"))
    return OpenAIRequest(
        tuple(replace(request, inputs={"text": text}, text=text) for text in texts), _read_include_usage(data)
    )


def _read_object(
    body: bytes, limits: Limits, known: frozenset[str], unsupported: Mapping[str, tuple[Any, ...]]
) -> Mapping[str, Any]:
    data = decode(body, limits)
    if not isinstance(data, Mapping):
        raise refuse("body", data, "a JSON object")
    for key, value in data.items():
        if key in known:
            continue
        if key not in unsupported:
            raise InvalidRequestError(Problem(key[:64], "is not a parameter", ", ".join(sorted(known))))
        # False equals 0 in Python, and True equals 1, so the types are compared, too: `n: true` is not `n: 1`.
        if value is not None and not any(value == idle and type(value) is type(idle) for idle in unsupported[key]):
            accepted = " or ".join(["null", *(str(idle).lower() or "an empty text" for idle in unsupported[key])])
            raise InvalidRequestError(Problem(key, "is not supported", accepted))
    return data


def _read_common(
    data: Mapping[str, Any],
    headers: Mapping[str, str],
    limits: Limits,
    *,
    inputs: Mapping[str, Any],
    parameters: Parameters,
    chat: Chat = _NO_CHAT,
    response_format: ResponseFormat = ANY_FORMAT,
) -> InferenceRequest:
    """Build a request from the keys that both formats share and the parts that a format has read itself."""
    controls = read_controls(data, headers, limits)
    return InferenceRequest(
        inputs=inputs,
        text="",
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        parameters=parameters,
        response_format=response_format,
        model=read_model(data),
        timeout_s=controls.timeout_s,
        user=read_name(data, "user"),
        tiers=controls.tiers,
        fallback=controls.fallback,
        hedge=controls.hedge,
        wait=controls.wait,
        retry=controls.retry,
        via=controls.via,
        stream=read_flag(data, "stream") or False,
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
    for key in options:
        if key not in _STREAM_OPTIONS:
            raise InvalidRequestError(Problem(f"stream_options.{key[:64]}", "is not a parameter", "include_usage"))
    return read_flag(options, "include_usage") or False


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
