"""The fields of OpenAI's chats and text completions: each is one line, with its bounds and its meaning."""

from typing import Annotated, Any

from msgspec import Struct

from deployments.request.body_form import BodyForm, Common
from deployments.request.chat import CHAT_MESSAGES, ChatMessages
from deployments.request.passing import PassedOn, TopLogprobs
from deployments.request.prompts import PROMPT, PromptField
from deployments.request.response_format import FORM_KEYS, FormFields
from deployments.request.sampling import Count, Parameters
from deployments.request.structs import does


class StreamOptions(Struct, frozen=True):
    """What a stream tells beside the answer. Other options are passed on."""

    include_usage: Annotated[bool, does("It ends with token counts.")] = False
    continuous_usage_stats: Annotated[bool, does("Each chunk has those so far, too, as with vLLM.")] = False
    include_obfuscation: Annotated[Any, does("Changes nothing.")] = None


class _OfBoth(Common, frozen=True, kw_only=True):
    user: Annotated[str, does("The id of the caller's end user, passed on to upstreams.")] = ""
    stream_options: Annotated[StreamOptions | None, does("What a stream tells beside the answer.")] = None


class ChatBody(_OfBoth, frozen=True, kw_only=True):
    """The fields of `POST /v1/chat/completions`, beside those of forms and of sampling."""

    messages: Annotated[ChatMessages, does("The conversation.", accepted=CHAT_MESSAGES)]
    max_completion_tokens: Annotated[Count | None, does("The newer name of `max_tokens`.")] = None
    echo: Annotated[bool, does("The answer begins with the last message, if it is an assistant's.")] = False


class CompletionBody(_OfBoth, frozen=True, kw_only=True):
    """The fields of `POST /v1/completions`, beside those of sampling."""

    prompt: Annotated[
        PromptField, does("It is continued as it stands. Several prompts give one choice each.", accepted=PROMPT)
    ]
    echo: Annotated[bool, does("The text begins with the prompt.")] = False
    logprobs: Annotated[TopLogprobs | None, does("So many of the likeliest tokens of each place are told.")] = None


CHAT_FORM = BodyForm(
    "ChatRequest", ChatBody, FormFields, Parameters, passed=PassedOn, refused=frozenset({"prompt", "best_of", "suffix"})
)
COMPLETION_FORM = BodyForm(
    "CompletionRequest",
    CompletionBody,
    Parameters,
    passed=PassedOn,
    refused=FORM_KEYS | {"audio", "function_call", "functions", "messages", "modalities", "top_logprobs"},
)
