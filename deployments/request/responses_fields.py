"""The fields of OpenAI's Responses: each is one line, with its bounds and its meaning."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from deployments.request.body_form import BodyForm, Common
from deployments.request.passing import Neutral, TopLogprobs
from deployments.request.response_format import MAX_TOOLS, Name, Sort
from deployments.request.sampling import Count, Parameters
from deployments.request.schema import ACCEPTED
from deployments.request.structs import does

LOGPROBS_INCLUDED = "message.output_text.logprobs"
MOST_METADATA, LONGEST_METADATA_KEY, LONGEST_METADATA = 16, 64, 512
MOST_INCLUDED = 32

RESPONSES_UNSUPPORTED = frozenset(
    {"best_of", "conversation", "logprobs", "max_completion_tokens", "max_tokens", "messages", "n", "prompt"}
    | {"response_format", "suffix"}
)
"""Keys of other formats, and those that stand for what another service keeps: conversations, prompts."""

RESPONSES_FORMATS = 'an object whose `type` is text, json_object or json_schema (with "name" and "schema")'
TOOL_OF_RESPONSES = '{"type": "function", "name": ..., "description": ..., "parameters": <JSON schema>}'
CHOICES_OF_RESPONSES = 'none, auto, required, or {"type": "function", "name": <one of tools>}'
_SORTS_OF_TOOLS = "function, custom, or what a provider runs itself"
_METADATA = (
    f"an object of at most {MOST_METADATA} texts of at most {LONGEST_METADATA} characters, with names of at most "
    f"{LONGEST_METADATA_KEY}"
)
_Effort = Annotated[Sort, Meta(extra={"accepted": "low, medium, high or what an upstream takes"})]
_Metadata = dict[
    Annotated[str, Meta(max_length=LONGEST_METADATA_KEY)],
    Annotated[str, Meta(max_length=LONGEST_METADATA, extra={"accepted": _METADATA})],
]


class ResponsesParameters(Parameters, frozen=True, rename={"max_tokens": "max_output_tokens"}):
    """The sampling parameters, by the names that they have in this format."""

    max_tokens: Annotated[Count | None, does("The longest answer in tokens.")] = None


class Reasoning(Struct, frozen=True):
    """How to think, and what is told of it."""

    effort: Annotated[_Effort | None, does("How much to think: a hint.")] = None
    summary: Annotated[Any, does("Reasoning is told as a summary.", shown=str)] = None
    generate_summary: Annotated[Any, does("The older name of it.", shown=str)] = None


class TextSort(Struct, frozen=True):
    """The form that the text has to have."""

    type: Annotated[Literal["text", "json_object", "json_schema"], does("Its kind.", accepted=RESPONSES_FORMATS)]


class TextForm(TextSort, frozen=True, kw_only=True):
    """The JSON that the text has to be."""

    name: Annotated[Name, does("Of `json_schema`: a name for it.")]
    schema: Annotated[Any, does("Of `json_schema`: the schema.", accepted=ACCEPTED, shown=dict[str, Any])] = None
    description: Annotated[Any, does("Of `json_schema`: what it is for.", shown=str)] = None
    strict: Annotated[Any, does("Of `json_schema`: whether it has to fit.", shown=bool)] = None


class TextOptions(Struct, frozen=True):
    """How the text is to be."""

    format: Annotated[dict[str, Any] | None, does("Its form.", accepted=RESPONSES_FORMATS, shown=TextForm)] = None
    verbosity: Annotated[_Effort | None, does("How much to say: a hint.")] = None


class ToolSort(Struct, frozen=True):
    """A tool that a provider runs itself: it is listed as dropped."""

    type: Annotated[Sort, does("`function`, `custom`, or another one.", accepted=_SORTS_OF_TOOLS)]


class NamedTool(ToolSort, frozen=True, kw_only=True):
    """A tool that a model may call."""

    name: Annotated[Name, does("Its name.")]
    description: Annotated[Any, does("What it does, for the model.", shown=str)] = None
    parameters: Annotated[Any, does("Of a function: the JSON schema of its arguments.", shown=dict[str, Any])] = None
    strict: Annotated[Any, does("Of a function: whether its arguments have to fit.", shown=bool)] = None
    format: Annotated[Any, does("Of a custom tool: how its input is written.", shown=dict[str, Any])] = None


class InputItem(Struct, frozen=True):
    """An item of the input; its other fields are read by its type."""

    type: Annotated[
        str, does("`message`, `reasoning`, `function_call`, `custom_tool_call`, or the `_output` of one; or another.")
    ] = "message"
    role: Annotated[Literal["user", "assistant", "system", "developer"] | None, does("Of a message.")] = None
    content: Annotated[str | list[dict[str, Any]], does("Of a message: a text, or parts.")] = ""
    id: Annotated[str, does("Its id, in a response.")] = ""
    call_id: Annotated[str, does("Of a call and of its output.")] = ""
    name: Annotated[str, does("Of a call: that of the tool.")] = ""
    arguments: Annotated[str, does("Of a call: JSON.")] = ""
    status: Annotated[str, does("Changes nothing.")] = ""


class ResponsesBody(Common, frozen=True, kw_only=True):
    """The fields of `POST /v1/responses`, beside those of sampling."""

    input: Annotated[Any, does("The conversation: a text, or items.", shown=str | list[InputItem])] = None
    instructions: Annotated[str, does("What goes before it, as a system turn.")] = ""
    text: Annotated[
        TextOptions | None, does("The form of the text.", accepted="an object with `format` or `verbosity`")
    ] = None
    tools: Annotated[
        Annotated[
            list[Annotated[dict[str, Any], Meta(extra={"accepted": TOOL_OF_RESPONSES})]], Meta(max_length=MAX_TOOLS)
        ]
        | None,
        does(
            "What the model may call.",
            accepted=f"a list of at most {MAX_TOOLS} tools: {TOOL_OF_RESPONSES}",
            shown=list[NamedTool],
        ),
    ] = None
    tool_choice: Annotated[
        Any,
        does(
            "Whether it is to call one.",
            accepted=CHOICES_OF_RESPONSES,
            shown=Literal["none", "auto", "required"] | dict[str, Any],
        ),
    ] = None
    parallel_tool_calls: Annotated[bool | None, does("Several tools may be called in one answer.")] = None
    reasoning: Annotated[Reasoning | None, does("How to think.", accepted="an object with `effort` or `summary`")] = (
        None
    )
    include: Annotated[
        Annotated[list[str], Meta(max_length=MOST_INCLUDED)] | None,
        does(
            "What is told beside the answer.",
            accepted=f"a list of at most {MOST_INCLUDED} texts, such as {LOGPROBS_INCLUDED}",
        ),
    ] = None
    top_logprobs: Annotated[TopLogprobs, does("So many of the likeliest tokens of each place are told.")] = 0
    truncation: Annotated[Literal["disabled", "auto"], does("No model can be asked for it: dropped.")] = "disabled"
    max_tool_calls: Annotated[Any, does("No model can be asked for it: dropped.")] = None
    context_management: Annotated[Any, does("No model can be asked for it: dropped.")] = None
    prompt_cache_options: Annotated[Any, does("No model can be asked for it: dropped.")] = None
    background: Annotated[bool, does("Not supported: the answer is in the response.")] = False
    previous_response_id: Annotated[Any, does("The response that ends the conversation to go on with.", shown=str)] = (
        None
    )
    user: Annotated[str, does("The id of the caller's end user, passed on to upstreams.")] = ""
    stream_options: Annotated[dict[str, Any] | None, does("Changes nothing.", accepted="an object")] = None
    client_metadata: Annotated[Any, does("Changes nothing.")] = None


class ResponsesPassed(Neutral, frozen=True, kw_only=True):
    """What is passed on of the format, and comes back with the response."""

    metadata: Annotated[
        Annotated[_Metadata, Meta(max_length=MOST_METADATA)] | None,
        does("Texts that come back with the response.", accepted=_METADATA),
    ] = None
    store: Annotated[bool | None, does("False: it is not kept, where the policy names a store.")] = None


RESPONSES_FORM = BodyForm(
    "ResponsesRequest", ResponsesBody, ResponsesParameters, passed=ResponsesPassed, refused=RESPONSES_UNSUPPORTED
)
