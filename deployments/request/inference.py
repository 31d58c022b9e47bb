"""The request as the rest of the service sees it: plain values, whatever the wire format was."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field, msgpack
from msgspec.structs import replace

from deployments.policy.attempt import Tier
from deployments.policy.trace_context import TraceContext
from deployments.request.injected_faults import InjectedFault
from deployments.request.sampling import NO_PARAMETERS, Parameters


class ResponseFormat(Struct, frozen=True, omit_defaults=True):
    """The form that the answer must have, in OpenAI's terms, as it was sent.

    Attributes:
        constraint: empty for free text; `{"type": "json_object"}`; `{"type": "json_schema", ...}`.
        tools: functions the model may call; tools of other types are for upstreams alone.
        tool_choice: `""` where it was not sent, `none`, `auto`, `required`, or an object, such as one that names a
            function.
        parallel_tool_calls: whether the model may call several functions in one answer.
    """

    constraint: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = ""
    parallel_tool_calls: bool | None = None

    @property
    def is_json(self) -> bool:
        """Whether the answer has to be JSON."""
        return bool(self.constraint)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema that the answer has to fit; empty where any JSON object will do."""
        schema: Mapping[str, Any] = self.constraint.get("json_schema", {}).get("schema", {})
        return schema

    @property
    def demands_form(self) -> bool:
        """Whether free text is not accepted: the answer has to be JSON, or a tool call."""
        return self.is_json or self.demands_tool_call

    @property
    def demands_tool_call(self) -> bool:
        """Whether the answer has to be a tool call."""
        match self.tool_choice:
            case "required" | {"type": "function" | "custom"} | {"allowed_tools": {"mode": "required"}}:
                return True
            case _:
                return False

    @property
    def takes_one_call(self) -> bool:
        """Whether the answer may have one tool call at most."""
        return self.parallel_tool_calls is False or bool(_name_of(self.tool_choice))

    @property
    def functions(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that are functions and that `tool_choice` lets the model call, as they were sent."""
        if not self.tools or self.tool_choice == "none":
            return ()
        functions = tuple(tool for tool in self.tools if tool["type"] == "function")
        allowed = allowed_names(self.tool_choice)
        return tuple(tool for tool in functions if tool["function"]["name"] in allowed) if allowed else functions


def allowed_names(tool_choice: str | Mapping[str, Any]) -> frozenset[str]:
    """Return the functions that a `tool_choice` names: one, or a list of `allowed_tools`; empty where it names none."""
    match tool_choice:
        case {"type": "allowed_tools", "allowed_tools": {"tools": [*allowed]}}:
            return frozenset(name for tool in allowed if (name := _name_of(tool)))
        case _:
            return frozenset(name for name in [_name_of(tool_choice)] if name)


def _name_of(choice: Any) -> str:
    """Return the function that `choice` names, in a chat's form or a response's; empty where it does not."""
    match choice:
        case {"type": "function", "function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            return name
        case _:
            return ""


FORM_DEMANDED = re.compile(rb'"json_(?:object|schema)"|"tool_choice"\s*:\s*(?:"(?:required|any)"|\{)')
"""The same of a body that is only skimmed: found wherever `demands_form` holds. Any object as a `tool_choice` counts:
what it asks for may be anywhere in it."""

ANY_FORMAT = ResponseFormat()
"""Accepts any answer."""

MAX_TOKENS_DEFAULT = 1024
"""The longest answer in tokens where nobody says; the policy may set another one."""

ANY_TIER = frozenset({Tier.PRIMARY, Tier.BACKUP})
"""All tiers with models."""


class Feature(Struct, frozen=True):
    """A feature that a request uses and that no model of our own has: a remote model may have it.

    Attributes:
        name: the name under which an answer without it lists it (`dropped`), such as `image` or `logprobs`.
        field: its place in the request.
        essential: the request is refused where no candidate can have it; else it is merely listed.
        foreign: it has no place in OpenAI's form, in which all models are asked but those that speak the format of the
            request.
    """

    name: str
    field: str
    essential: bool = True
    foreign: bool = False


class Sent(Struct, frozen=True):
    """A request in the words of the format that it was sent in, for upstreams that speak the same.

    Attributes:
        api: that format, as the spec of a remote model names it; empty where a request is in OpenAI's chats, which all
            are read into.
        body: the fields of the body, without controls, `model` and `stream`; of a chat, those alone whose names are
            others than here.
        betas: the features that the caller has opted into (`anthropic-beta`).
    """

    api: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    betas: str = ""


AS_A_CHAT = Sent()
"""Of a request that has no other words than those of OpenAI's chats."""


class InferenceRequest(Struct, frozen=True, omit_defaults=True):
    """A well-formed request.

    Attributes:
        inputs: the body as it was sent, without controls, `model` and `stream`: the input of a `python` model.
        text: the input of a language model where there are no `messages`: a text, or the JSON of an `input` that is
            not a text.
        messages: chat turns of `role` and `content`; empty where the request is a text.
        model: the model asked for; empty where none is named.
        timeout_s: the deadline, in seconds from the arrival of the request.
        parameters: the sampling parameters.
        response_format: the form that the answer must have.
        turns: `messages` as they were sent, with tool calls and their results, for upstreams.
        user: the id of the caller's end user, passed on to upstreams.
        tiers: the tiers that may be asked; the last resort is always allowed.
        fallback: other models than the one asked for may answer.
        hedge: the backup may be started beside a slow model.
        wait: the request may wait, within its deadline, for a model that will be ready soon.
        retry: a model may be asked again.
        via: the ids of the services that the request has passed through on its way here.
        stream: the answer is to be sent piece by piece.
        prefix: the beginning of the answer, which exists already: the model continues it.
        prefix_turn: the message that a `prefix` of the caller's came in, for upstreams; empty where there is none.
        passthrough: fields that are not acted on here, as they were sent: upstreams get them.
        features: the features that only a remote model may have; each name once.
        strict: a model that does not have all of `features` is not asked.
        raw: `text` is to be continued as it stands, without a chat template.
        prompt_tokens: the prompt as token ids, in the place of `text`; such a request is raw.
        max_tokens_default: the longest answer in tokens where neither the caller nor the model's spec sets it.
        vectors: the caller asks for vectors (`task: feature-extraction`), whatever the model asked for is.
        faults: what the caller has injected into attempts; such a request is a drill.
        cache: an earlier answer may be given where no model answers, and this one may be kept.
        trace: the span that the attempt is a part of; `None` where it is not traced.
        vector_count: the answer has to be so many vectors, and nothing else; 0 where any vectors will do.
        sent: the same in the words of its own format; our own models have no use for it, and are not sent it.
    """

    inputs: Mapping[str, Any]
    text: str
    messages: tuple[Mapping[str, str], ...]
    model: str
    timeout_s: float
    parameters: Parameters = NO_PARAMETERS
    response_format: ResponseFormat = ANY_FORMAT
    turns: tuple[Mapping[str, Any], ...] = ()
    user: str = ""
    tiers: frozenset[Tier] = ANY_TIER
    fallback: bool = True
    hedge: bool = True
    wait: bool = True
    retry: bool = True
    via: tuple[str, ...] = ()
    stream: bool = False
    prefix: str = ""
    prefix_turn: Mapping[str, Any] = field(default_factory=dict)
    passthrough: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[Feature, ...] = ()
    strict: bool = False
    raw: bool = False
    prompt_tokens: tuple[int, ...] = ()
    max_tokens_default: int = MAX_TOKENS_DEFAULT
    vectors: bool = False
    vector_count: int = 0
    faults: tuple[InjectedFault, ...] = ()
    cache: bool = True
    trace: TraceContext | None = None
    sent: Sent = AS_A_CHAT

    @property
    def choices(self) -> int:
        """How many choices are to be written (`n`)."""
        wanted: int = self.passthrough.get("n", 1)
        return wanted

    @property
    def logprobs(self) -> int | None:
        """How many of the likeliest tokens are to be told beside each token's log probability; `None` for neither."""
        return int(self.passthrough.get("top_logprobs", 0)) if self.passthrough.get("logprobs") else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the request as one MessagePack value: a quarter of the time of pickling its parts by their classes."""
        request = self if self.sent is AS_A_CHAT else replace(self, sent=AS_A_CHAT)
        return _unpacked, (_PACKER.encode(request),)


_PACKER = msgpack.Encoder()
_UNPACKER = msgpack.Decoder(InferenceRequest)


def _unpacked(packed: bytes) -> InferenceRequest:
    return _UNPACKER.decode(packed)
