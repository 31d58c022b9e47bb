"""What a remote does not take although the router put it there: it is asked again without it, and that is remembered.

    stream_options                        left out; the stream has no token counts then
    max_tokens, max_completion_tokens     the one in the place of the other
    continue_final_message, …             left out; the text so far is a trailing assistant turn
    a trailing assistant turn             followed by a user turn that asks to go on
    reasoning of earlier turns            left out, in whatever field: it came with an answer, maybe of another model

A field that the caller asked for is not in here: what a provider says of it is between the two.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.causes import Cause
from deployments.upstream.complaints import Complaint
from deployments.upstream.continuation import ask_to_go_on

_STATUSES = frozenset({200, 400, 403, 404, 422, 500, 501})
NOT_TAKEN = re.compile(
    r"unsupported|not supported|(does|do)(n't| not) support|unknown|unrecogni[sz]ed|unexpected|not permitted|"
    r"not allowed|extra|additional propert|forbidden|instead|no such|invalid (field|parameter|argument)|not a valid"
)
"""A complaint about a field, and not about its value."""

OF_VALUE = re.compile(
    r"unsupported value|invalid[_ ]value|too (large|high|big|small|low|many|long)|maximum|at (most|least)|less than"
    r"|greater|exceed|larger|out of range|\brange\b|must be|between \d|up to \d|limit|[<>]"
)
"""A complaint about the value of a field, and not about the field."""

_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_REASONING = ("reasoning_content", "thinking_blocks", "reasoning_items")
_VLLM_FIELDS = ("continue_final_message", "add_generation_prompt")


class Quirk(Enum):
    """Something of the router's own that a remote does not take."""

    STREAM_OPTIONS = "stream_options"
    MAX_TOKENS = "max_tokens"
    CONTINUE_FIELDS = "continue_final_message"
    PREFILL = "prefill"
    REASONING = "reasoning_content"


@dataclass(slots=True)
class Adaptation:
    """What one remote has shown not to take.

    Attributes:
        spec: the remote's.
        known: the quirks that are certain.
    """

    spec: RemoteSpec
    known: set[Enum] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin with what the spec says."""
        if self.spec.prefill == "never":
            self.known.add(Quirk.PREFILL)

    def adapt(
        self, body: dict[str, Any], request: InferenceRequest, tried: frozenset[Enum] = frozenset()
    ) -> tuple[str, ...]:
        """Change `body` for what the remote does not take; `tried` is left out for this attempt only.

        Returns nothing: what is left out was not the caller's.
        """
        quirks = self.known | tried
        if not quirks:
            return ()
        if "messages" not in body:  # a text completion: the rest is about chats
            quirks = quirks & {Quirk.STREAM_OPTIONS}
        if Quirk.STREAM_OPTIONS in quirks:
            body.pop("stream_options", None)
        if Quirk.MAX_TOKENS in quirks and (value := body.pop(self.spec.max_tokens_field, None)) is not None:
            body[_OTHER_NAME[self.spec.max_tokens_field]] = value
        if Quirk.CONTINUE_FIELDS in quirks or Quirk.PREFILL in quirks:
            for name in _VLLM_FIELDS:
                body.pop(name, None)
        if Quirk.REASONING in quirks:
            # Others may be asked with the same turns: they are not changed themselves.
            turns = body["messages"]
            body["messages"] = [{key: value for key, value in turn.items() if key not in _REASONING} for turn in turns]
        if request.prefix and Quirk.PREFILL in quirks:
            body["messages"].append(ask_to_go_on(request.prefix))
        return ()

    def learn(self, tried: frozenset[Enum]) -> None:
        """Remember that the remote has answered without what is `tried`."""
        self.known |= tried

    def find(self, complaint: Complaint, body: Mapping[str, Any], request: InferenceRequest) -> Quirk | None:
        """Return what of ours the remote has refused in `body`; `None` where its complaint is about something else."""
        if complaint.status not in _STATUSES:
            return None
        said = f"{complaint.param} {complaint.message}".lower()
        # A caller's own options may be what is refused: nothing is learnt from those.
        if body.get("stream_options") == {"include_usage": True} and re.search(r"stream_options|include_usage", said):
            return Quirk.STREAM_OPTIONS
        if "messages" not in body:
            return None
        name = self.spec.max_tokens_field
        named = re.search(rf"(?<![\w]){name}\b", said)
        codes = " ".join(complaint.codes).lower()
        if (
            name in body
            and named
            and not (OF_VALUE.search(said) and _OTHER_NAME[name] not in said)
            and (NOT_TAKEN.search(said) or re.search(r"unsupported_param|unknown_param|extra", codes))
        ):
            return Quirk.MAX_TOKENS
        if _VLLM_FIELDS[0] in body and any(name in said for name in _VLLM_FIELDS):
            return Quirk.CONTINUE_FIELDS
        # One that wants it back says that it is missing.
        if (
            any(name in said for name in _REASONING)
            and NOT_TAKEN.search(said)
            and any(map(_reasons, body.get("messages", ())))
        ):
            return Quirk.REASONING
        if request.prefix and Quirk.PREFILL not in self.known:
            names_it = complaint.cause in _MAY_NAME_PREFILL and ABOUT_PREFILL.search(said)
            if names_it or complaint.cause in _MAY_BE_PREFILL:
                return Quirk.PREFILL
        return None


def _reasons(turn: Mapping[str, Any]) -> bool:
    return any(name in turn for name in _REASONING)


def is_of_value(said: str, value: Any) -> bool:
    """Return whether a complaint, in lower case, is about the value of a field: others ask for another one."""
    is_named = isinstance(value, str) and re.search(rf"\b{re.escape(value.lower())}\b", said) is not None
    return is_named or (OF_VALUE.search(said) is not None and "only the default" not in said)


ABOUT_PREFILL = re.compile(r"prefill|assistant (message|turn|role|response)|(last|final) message|alternate")
"""A complaint about a trailing assistant turn."""

_MAY_NAME_PREFILL = frozenset({Cause.BUSY, Cause.BROKEN})
"""Some servers break on it, and say so."""

_MAY_BE_PREFILL = frozenset({Cause.INVALID, Cause.UNEXPLAINED})
"""Causes of a refusal that the trailing assistant turn may have brought about: it is the only unusual thing of ours."""
