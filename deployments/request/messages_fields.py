"""The fields of Anthropic's Messages: each is one line, with its bounds and its meaning."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from deployments.request.body_form import BodyForm, Common
from deployments.request.passing import Neutral
from deployments.request.response_format import MAX_TOOLS, NAMES, Sort
from deployments.request.sampling import Count, Parameters, Stops
from deployments.request.structs import does

LONGEST_TOOL_NAME = 128

MESSAGES_UNSUPPORTED = frozenset(
    {"audio", "best_of", "logprobs", "max_completion_tokens", "modalities", "n", "prompt", "response_format"}
    | {"stop", "stream_options", "suffix", "top_logprobs"}
)
"""Keys of OpenAI's formats that have another name here, or whose answers have no place in a message."""

TOOL_OF_MESSAGES = '{"name": ..., "description": ..., "input_schema": <JSON schema>}'
CHOICES_OF_MESSAGES = "an object whose `type` is auto, any, none, or tool with the `name` of one of the tools"
_THINKING = "an object whose `type` is enabled (with `budget_tokens`), disabled or adaptive"
_FORMAT = '{"type": "json_schema", "schema": <JSON schema>}'
_EFFORT = "low, medium, high or what an upstream takes"
_NAMED = f"1 to {LONGEST_TOOL_NAME} letters, digits, _ or -"

Effort = Annotated[Sort, Meta(extra={"accepted": _EFFORT})]


class MessagesParameters(Parameters, frozen=True, rename={"stop": "stop_sequences"}):
    """The sampling parameters, by the names that they have in this format."""

    stop: Annotated[Stops, does("Texts that end the answer and are not part of it.")] = ()


class ClientTool(Struct, frozen=True):
    """A function. A tool of another type than `custom` is for remote models, as it was sent."""

    name: Annotated[
        Annotated[str, Meta(max_length=LONGEST_TOOL_NAME, pattern=NAMES)], does("Its name.", accepted=_NAMED)
    ]
    input_schema: Annotated[dict[str, Any], does("The JSON schema of its arguments.", accepted="a JSON schema")]
    type: Annotated[Sort | None, does("`custom`, or one for remote models.")] = None
    description: Annotated[str, does("What it does, for the model.")] = ""
    strict: Annotated[Any, does("Whether its arguments have to fit.", shown=bool)] = None
    cache_control: Annotated[Any, does("For providers.")] = None


class ToolChoice(Struct, frozen=True):
    """Whether and which tool is to be called."""

    type: Annotated[
        Literal["auto", "any", "tool", "none"] | None, does("What is to be done.", accepted=CHOICES_OF_MESSAGES)
    ] = None
    name: Annotated[str | None, does("Of `tool`: its name.")] = None
    disable_parallel_tool_use: Annotated[bool, does("One call at most.")] = False


class AnswerSchema(Struct, frozen=True):
    """The form that an answer has to have."""

    type: Annotated[Literal["json_schema"], does("Always the same.", accepted=_FORMAT)]
    schema: Annotated[Any, does("The JSON schema that the answer has to fit.", shown=dict[str, Any])] = None


class OutputConfig(Struct, frozen=True):
    """How the answer is to be."""

    effort: Annotated[Effort | None, does("How much to think: a hint.")] = None
    format: Annotated[AnswerSchema | None, does("The schema that the answer has to fit.", accepted=_FORMAT)] = None


class Thinking(Struct, frozen=True):
    """Whether and how much to think: a hint."""

    type: Annotated[Sort, does("`enabled`, `disabled` or `adaptive`.", accepted=_THINKING)]
    budget_tokens: Annotated[Any, does("Of `enabled`: how many tokens.", shown=Count)] = None


class EndUser(Struct, frozen=True):
    """Who has asked."""

    user_id: Annotated[str | None, does("The id of the caller's end user, passed on to upstreams.")] = None


class ContentBlock(Struct, frozen=True):
    """A block of a content. Other fields are read by its type."""

    type: Annotated[
        str,
        does(
            "`text`, `image`, `document`, `search_result`, `tool_use`, `tool_result`, `thinking`, or one for remotes."
        ),
    ]
    text: Annotated[str, does("Of a text.")] = ""


class DialogueMessage(Struct, frozen=True):
    """A message of a conversation."""

    role: Annotated[Literal["user", "assistant", "system"], does("Whose turn it is.")]
    content: Annotated[str | list[ContentBlock], does("A text, or blocks.")]


class MessagesBody(Common, frozen=True, kw_only=True):
    """The fields of `POST /v1/messages`, beside those of sampling."""

    messages: Annotated[Any, does("The conversation.", shown=list[DialogueMessage])] = None
    system: Annotated[Any, does("What goes before it: a text, or blocks of text.", shown=str | list[ContentBlock])] = (
        None
    )
    tools: Annotated[
        Annotated[
            list[Annotated[dict[str, Any], Meta(extra={"accepted": TOOL_OF_MESSAGES})]], Meta(max_length=MAX_TOOLS)
        ],
        does(
            "What the model may call.",
            accepted=f"a list of at most {MAX_TOOLS} tools: {TOOL_OF_MESSAGES}",
            shown=list[ClientTool],
        ),
    ] = []  # noqa: RUF012 - msgspec makes a new one for each
    tool_choice: Annotated[ToolChoice | None, does("Whether it is to call one.", accepted=CHOICES_OF_MESSAGES)] = None
    output_config: Annotated[OutputConfig | None, does("The form of the answer, and how much to think.")] = None
    output_format: Annotated[AnswerSchema | None, does("The older place of the form.", accepted=_FORMAT)] = None
    thinking: Annotated[Thinking | None, does("How much to think: a hint.", accepted=_THINKING)] = None
    service_tier: Annotated[str, does("Passed on in the words of each provider.")] = ""
    metadata: Annotated[EndUser | None, does("Who has asked.", accepted="an object with user_id (a text)")] = None
    context_management: Annotated[Any, does("Of remote models of this format; else dropped.")] = None
    speed: Annotated[Any, does("Of remote models of this format; else dropped.")] = None
    cache_control: Annotated[Any, does("Of remote models of this format; changes nothing.")] = None
    diagnostics: Annotated[Any, does("Of remote models of this format; changes nothing.")] = None
    user_profile_id: Annotated[Any, does("Of remote models of this format; changes nothing.")] = None
    workspace_id: Annotated[Any, does("Of remote models of this format; changes nothing.")] = None


MESSAGES_FORM = BodyForm(
    "MessagesRequest", MessagesBody, MessagesParameters, passed=Neutral, refused=MESSAGES_UNSUPPORTED
)
