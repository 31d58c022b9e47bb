"""The request that everything behind the readers understands: plain values, whatever wire format they came in."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field, msgpack

from deployments.policy.attempt import Tier


class Parameters(Struct, frozen=True, omit_defaults=True):
    """How an answer is to be sampled, in OpenAI's terms. `None` leaves it to the model.

    Attributes:
        max_tokens: the longest answer in tokens, 1 or more.
        temperature: 0 to 2; 0 always takes the likeliest token.
        top_p: 0 (excluded) to 1.
        stop: texts that end the answer and are not part of it; at most 4.
        seed: the same seed and request sample the same answer, where the model can.
        presence_penalty: -2 to 2, off the logits of tokens that have been written.
        frequency_penalty: -2 to 2, off the logits of tokens for each time they have been written.
        logit_bias: token id (as a text) to what is added to its logit, -100 to 100.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] = field(default_factory=dict)


NO_PARAMETERS = Parameters()
"""Everything is left to the model."""


class ResponseFormat(Struct, frozen=True, omit_defaults=True):
    """What form the answer must have, in OpenAI's terms and as it was sent.

    Attributes:
        constraint: empty for free text; `{"type": "json_object"}`; `{"type": "json_schema", ...}`.
        tools: functions the model may call.
        tool_choice: `""` where it was not sent, `none`, `auto`, `required`, or an object naming a function.
        parallel_tool_calls: whether it may call several at once.
    """

    constraint: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = ""
    parallel_tool_calls: bool | None = None

    @property
    def is_json(self) -> bool:
        """The answer has to be JSON."""
        return bool(self.constraint)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema the answer has to fit; empty where any JSON object does."""
        schema: Mapping[str, Any] = self.constraint.get("json_schema", {}).get("schema", {})
        return schema

    @property
    def demands_form(self) -> bool:
        """Not any text is an answer."""
        return self.is_json or self.demands_tool_call

    @property
    def demands_tool_call(self) -> bool:
        """Plain text is no answer."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, Mapping)


ANY_FORMAT = ResponseFormat()
"""Any answer will do."""

ANY_TIER = frozenset({Tier.PRIMARY, Tier.BACKUP})
"""All that may be asked."""


class InferenceRequest(Struct, frozen=True, omit_defaults=True):
    """A well-formed request.

    Attributes:
        inputs: the request as it was sent, without what controls it: what a `python` model is given.
        text: what a language model reads where there are no `messages`: the text, or its JSON where `input`
            is something else.
        messages: chat turns of `role` and `content`; empty where the request is a text.
        model: the model asked for; empty where none is.
        timeout_s: the deadline in seconds.
        parameters: how to sample.
        response_format: what form the answer must have.
        turns: `messages` as they were sent, with tool calls and their results, for those who understand them.
        user: the caller's own user, passed on to upstreams.
        tiers: who may be asked; the last resort always may.
        fallback: other models than the one asked for may answer.
        hedge: the backup may be started beside a slow model.
        wait: where nobody can answer yet and somebody will soon, the request waits for that, within its deadline.
        stream: the answer is wanted piece by piece.
        prefix: the beginning of the answer, which is there already: the model carries on behind it.
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
    stream: bool = False
    prefix: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as one piece: a quarter of the time it takes to name and find the classes of all that is in it."""
        return _unpacked, (_PACKER.encode(self),)


_PACKER = msgpack.Encoder()
_UNPACKER = msgpack.Decoder(InferenceRequest)


def _unpacked(packed: bytes) -> InferenceRequest:
    return _UNPACKER.decode(packed)
