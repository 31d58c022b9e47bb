"""Reads what callers ask of a model's tokenizer, in vLLM's format.

/tokenize      `prompt`, `add_special_tokens` (true); or `messages`, `tools`, `add_generation_prompt` (true),
               `continue_final_message`, `add_special_tokens` (false); of either `return_token_strs`
/detokenize    `tokens`
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from msgspec import Meta, Struct

from deployments.policy.problem import UNSUPPORTED, InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.body_form import BodyForm, ModelName
from deployments.request.chat import CHAT_MESSAGES, ChatMessages, read_chat
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.conversation import Chat
from deployments.request.entries import counting_entries
from deployments.request.fields import read_model
from deployments.request.inference import ANY_FORMAT, InferenceRequest
from deployments.request.prompts import MAX_PROMPT_TOKENS
from deployments.request.response_format import Tool, read_response_format
from deployments.request.sampling import MAX_TOKEN, TokenId
from deployments.request.structs import does, read_struct, without_nulls

_NO_CHAT = Chat((), (), "")
_TOKENS = f"a list of 1 to {MAX_PROMPT_TOKENS} token ids, from 0 to {MAX_TOKEN}"
_OF_CHATS = ("messages", "tools", "add_generation_prompt", "continue_final_message")


class TokenizeBody(Struct, frozen=True):
    """The fields of `POST /tokenize`."""

    model: Annotated[ModelName | None, does("A model of our own; without it the default one.")] = None
    prompt: Annotated[
        str | None, does("A text, taken as it stands; or `messages`.", accepted="a text, or messages in its place")
    ] = None
    add_special_tokens: Annotated[bool | None, does("Without it: true of a text, false of a chat.")] = None
    return_token_strs: Annotated[bool, does("The entries of the tokens in the vocabulary are told, too.")] = False
    messages: Annotated[
        ChatMessages | None, does("A chat, as the model reads it, with its template.", accepted=CHAT_MESSAGES)
    ] = None
    tools: Annotated[list[Any] | None, does("Of a chat: the functions that the template shows.", shown=list[Tool])] = (
        None
    )
    add_generation_prompt: Annotated[bool | None, does("Of a chat: it ends with the beginning of an answer.")] = None
    continue_final_message: Annotated[bool, does("Of a chat: the last message is not ended.")] = False


class DetokenizeBody(Struct, frozen=True):
    """The fields of `POST /detokenize`."""

    tokens: Annotated[
        Annotated[list[TokenId], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)],
        does("The tokens whose text is asked for.", accepted=_TOKENS),
    ]
    model: Annotated[ModelName | None, does("A model of our own; without it the default one.")] = None


TOKENIZE_FORM = BodyForm("TokenizeRequest", TokenizeBody, passed=None, others="")
DETOKENIZE_FORM = BodyForm("DetokenizeRequest", DetokenizeBody, passed=None, others="")


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


@counting_entries
def tokenize_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> TokensRequest:
    """Read the body of `POST /tokenize`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = without_nulls(decode_object(body, limits))
    asked = read_struct(data, TokenizeBody)
    is_chat = asked.messages is not None
    if is_chat and asked.prompt is not None:
        raise InvalidRequestError(Problem("messages", "and prompt are both given", "one of them"))
    _refuse_others(data, TOKENIZE_FORM.acted_on - (frozenset() if is_chat else frozenset(_OF_CHATS)))
    if asked.continue_final_message and asked.add_generation_prompt:
        problem = Problem("add_generation_prompt", "is true, and so is continue_final_message", "one of them")
        raise InvalidRequestError(problem)
    chat = _NO_CHAT
    if is_chat:
        chat = read_chat(data["messages"], asked.messages or (), goes_on=asked.continue_final_message)
        for feature in chat.features:
            raise InvalidRequestError(Problem(feature.field, "is not supported here", "texts", code=UNSUPPORTED))
    elif asked.prompt is None:
        raise InvalidRequestError(Problem("prompt", "is missing", "a text, or messages in its place"))
    request = InferenceRequest(
        inputs={},
        text=asked.prompt or "",
        messages=chat.messages,
        turns=chat.turns,
        prefix=chat.prefix,
        response_format=read_response_format(data) if is_chat else ANY_FORMAT,
        raw=not is_chat,
        model=read_model(asked.model),
        timeout_s=limits.timeout_s,
    )
    return TokensRequest(
        with_controls(request, data, headers, limits),
        special=not is_chat if asked.add_special_tokens is None else asked.add_special_tokens,
        begins=asked.add_generation_prompt is not False and not asked.continue_final_message,
        strings=asked.return_token_strs,
    )


@counting_entries
def detokenize_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> TokensRequest:
    """Read the body of `POST /detokenize`; see `tokenize_request`."""
    data = without_nulls(decode_object(body, limits))
    asked = read_struct(data, DetokenizeBody)
    _refuse_others(data, DETOKENIZE_FORM.acted_on)
    request = InferenceRequest({}, "", (), read_model(asked.model), limits.timeout_s)
    return TokensRequest(with_controls(request, data, headers, limits), tuple(asked.tokens))


def _refuse_others(data: Mapping[str, Any], known: AbstractSet[str]) -> None:
    for key in data.keys() - known:
        accepted = ", ".join(sorted(known - CONTROL_KEYS))
        raise InvalidRequestError(Problem(key[:64] or "body", "is not supported here", accepted, code=UNSUPPORTED))
