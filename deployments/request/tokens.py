"""Reads what callers ask of a model's tokenizer, in vLLM's format.

/tokenize      `prompt`, `add_special_tokens` (true); or `messages`, `tools`, `add_generation_prompt` (true),
               `continue_final_message`, `add_special_tokens` (false); of either `return_token_strs`
/detokenize    `tokens`
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deployments.policy.problem import UNSUPPORTED, InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.chat import read_chat
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.conversation import Chat
from deployments.request.fields import read_flag, read_model, refuse
from deployments.request.inference import ANY_FORMAT, InferenceRequest
from deployments.request.knobs import MAX_TOKEN, is_token
from deployments.request.prompts import MAX_PROMPT_TOKENS
from deployments.request.response_format import read_response_format

_COMMON = CONTROL_KEYS | {"model"}
_PROMPT = _COMMON | {"prompt", "add_special_tokens", "return_token_strs"}
TOKENIZE_PARAMETERS = _PROMPT | {"messages", "tools", "add_generation_prompt", "continue_final_message"}
DETOKENIZE_PARAMETERS = _COMMON | {"tokens"}

_NO_CHAT = Chat((), (), "")


class TokensRequest(Struct, frozen=True):
    """A question to a model's tokenizer.

    Attributes:
        request: the text or the chat whose tokens are asked for, and the controls.
        tokens: the tokens whose text is asked for; empty where it is the other way round.
        special: the tokenizer adds its special tokens.
        begins: a chat ends with the beginning of an answer.
        strings: the entries of the tokens in the vocabulary are to be told, too.
    """

    request: InferenceRequest
    tokens: tuple[int, ...] = ()
    special: bool = True
    begins: bool = True
    strings: bool = False


def tokenize_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> TokensRequest:
    """Read the body of `POST /tokenize`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = decode_object(body, limits)
    is_chat = data.get("messages") is not None
    if is_chat and data.get("prompt") is not None:
        raise InvalidRequestError(Problem("messages", "and prompt are both given", "one of them"))
    _refuse_others(data, TOKENIZE_PARAMETERS if is_chat else _PROMPT)
    goes_on = read_flag(data, "continue_final_message") or False
    begins = read_flag(data, "add_generation_prompt")
    if goes_on and begins:
        problem = Problem("add_generation_prompt", "is true, and so is continue_final_message", "one of them")
        raise InvalidRequestError(problem)
    chat, text = _NO_CHAT, data.get("prompt", "")
    if is_chat:
        chat, text = read_chat(data["messages"], goes_on=goes_on), ""
        for feature in chat.features:
            raise InvalidRequestError(Problem(feature.field, "is not supported here", "texts", code=UNSUPPORTED))
    elif not isinstance(text, str) or "prompt" not in data:
        raise refuse("prompt", data.get("prompt"), "a text, or messages in its place")
    special = read_flag(data, "add_special_tokens")
    request = InferenceRequest(
        inputs={},
        text=text,
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        response_format=read_response_format(data) if is_chat else ANY_FORMAT,
        raw=not is_chat,
        model=read_model(data),
        timeout_s=limits.timeout_s,
    )
    return TokensRequest(
        with_controls(request, data, headers, limits),
        special=not is_chat if special is None else special,
        begins=begins is not False and not goes_on,
        strings=read_flag(data, "return_token_strs") or False,
    )


def detokenize_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> TokensRequest:
    """Read the body of `POST /detokenize`; see `tokenize_request`."""
    data = decode_object(body, limits)
    _refuse_others(data, DETOKENIZE_PARAMETERS)
    tokens, accepted = data.get("tokens"), f"a list of 1 to {MAX_PROMPT_TOKENS} token ids, from 0 to {MAX_TOKEN}"
    if not isinstance(tokens, list) or not 0 < len(tokens) <= MAX_PROMPT_TOKENS:
        raise refuse("tokens", tokens, accepted)
    for place, token in enumerate(tokens):
        if not is_token(token):
            where = f"is no token id (entry {place + 1} of {len(tokens)})"
            raise InvalidRequestError(Problem(f"tokens[{place}]", where, accepted))
    request = InferenceRequest({}, "", (), read_model(data), limits.timeout_s)
    return TokensRequest(with_controls(request, data, headers, limits), tuple(tokens))


def _refuse_others(data: Mapping[str, Any], known: frozenset[str]) -> None:
    for key, value in data.items():
        if key not in known and value is not None:
            accepted = ", ".join(sorted(known - CONTROL_KEYS))
            raise InvalidRequestError(Problem(key[:64] or "body", "is not supported here", accepted, code=UNSUPPORTED))
