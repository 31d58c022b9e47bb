"""What upstreams of Anthropic's format do not take, each with its model's reasons; asked again without it, at once.

    max_tokens above the model's bound        that bound, where the caller has set none
    temperature, top_p, top_k                 left out: newer models choose for themselves
    temperature beside top_p                  top_p is left out
    stop_sequences of white space             those are left out
    a way to think (adaptive, a budget, none) left out: models differ in what they have of these
    output_config.effort                      left out: older models, or another level
    output_config.format                      said in words; the answer is checked against the form, as ever
    a message of the role `system`            a text of the user's in its place
    a trailing assistant's message            followed by a user's message that asks to go on; so too where it thinks
    reasoning of earlier turns                left out, and no thinking: another model has written or signed it, or none

The last one, the form and the level of an effort depend on the request: they are not remembered, as others ask for
something else. What the caller loses is listed.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.adaptation import ABOUT_PREFILL, NOT_TAKEN, is_of_value
from deployments.upstream.complaints import Complaint
from deployments.upstream.continuation import ask_to_go_on
from deployments.upstream.messages.body import SAMPLED, form_in_words, instruct, thinks
from deployments.upstream.messages.turns import without_reasoning, without_system_turns

_STATUSES = frozenset({200, 400, 422})


class MessageQuirk(Enum):
    """Something that an upstream of this format does not take."""

    MAX_TOKENS = "max_tokens"
    SAMPLING = "sampling"
    TWO_KINDS = "temperature beside top_p"
    BLANK_STOPS = "stop_sequences"
    ADAPTIVE = "thinking: adaptive"
    BUDGET = "thinking: enabled"
    NO_THINKING = "thinking: disabled"
    THINKING = "thinking, as it is asked for here"
    EFFORT = "effort"
    LEVEL = "this level of effort"
    FORM = "format"
    SYSTEM_TURNS = "system"
    PREFILL = "prefill"
    REASONING = "reasoning"


_OF_REQUEST = frozenset({MessageQuirk.FORM, MessageQuirk.REASONING, MessageQuirk.THINKING, MessageQuirk.LEVEL})
_WAYS = {"adaptive": MessageQuirk.ADAPTIVE, "enabled": MessageQuirk.BUDGET, "disabled": MessageQuirk.NO_THINKING}
_OF_WAYS = frozenset({"type", "budget_tokens"})
"""The fields of `thinking` that say which way it is; any other one may be what is refused."""

_REFUSED = re.compile(f"{NOT_TAKEN.pattern}|deprecated|removed|does not match any of the expected tags|not available")
_ABOUT_REASONING = re.compile(
    r"signature.{0,40}thinking|thinking.{0,60}signature|(expected|must start with).{0,30}thinking"
    r"|thinking.{0,80}(cannot be modified|must remain|unmodified)|preserved thinking"
)
_ABOUT_SAMPLING = re.compile(r"\b(temperature|top_p|top_k)\b")
_ABOUT_THINKING = re.compile(r"\bthinking\b|\badaptive\b")
_ABOUT_EFFORT = re.compile(r"\beffort\b")
_ABOUT_FORM = re.compile(r"output_config|output_format|\bschema\b|additionalproperties|structured output")
_ABOUT_SYSTEM = re.compile(r"\brole\b.{0,40}\bsystem\b|\bsystem\b.{0,40}\brole\b|unexpected role")
_ABOUT_STOPS = re.compile(r"stop.?sequence.{0,60}(whitespace|white space|empty)")
_BOUND = re.compile(r"max_tokens: \d+ > (\d{1,9})\b")


@dataclass(slots=True)
class MessageAdaptation:
    """What one upstream of this format has shown not to take; see `family.Adapts`.

    Attributes:
        spec: the remote's.
        known: the quirks that are certain.
    """

    spec: RemoteSpec
    known: set[Enum] = field(default_factory=set)
    _most_tokens: int = 0

    def __post_init__(self) -> None:
        """Begin with what the spec says."""
        if self.spec.prefill == "never":
            self.known.add(MessageQuirk.PREFILL)

    def adapt(
        self, body: dict[str, Any], request: InferenceRequest, tried: frozenset[Enum] = frozenset()
    ) -> tuple[str, ...]:
        """Change `body` for what the upstream does not take; returns the names of what the caller loses."""
        quirks = self.known | tried
        dropped: list[str] = []
        if MessageQuirk.MAX_TOKENS in quirks and request.parameters.max_tokens is None:
            body["max_tokens"] = min(body["max_tokens"], self._most_tokens)
        if MessageQuirk.SAMPLING in quirks:
            dropped += [name for name in SAMPLED if body.pop(name, None) is not None]
        if MessageQuirk.TWO_KINDS in quirks and "temperature" in body and body.pop("top_p", None) is not None:
            dropped.append("top_p")
        if MessageQuirk.BLANK_STOPS in quirks and (stops := body.get("stop_sequences")):
            dropped += _without_blank_stops(body, stops)
        if MessageQuirk.REASONING in quirks:
            body["messages"] = without_reasoning(body["messages"])
        if _without_thinking(body, quirks) | _without_effort(body, quirks):
            dropped.append("reasoning_effort")
        if MessageQuirk.FORM in quirks and (form := _take_form(body)):
            instruct(body, form_in_words(form.get("schema") or {}))
        if MessageQuirk.SYSTEM_TURNS in quirks:
            body["messages"] = without_system_turns(body["messages"])
        if request.prefix and (MessageQuirk.PREFILL in quirks or thinks(body)):
            body["messages"].append(ask_to_go_on(request.prefix))
        return tuple(dropped)

    def learn(self, tried: frozenset[Enum]) -> None:
        """Remember that the upstream has answered without what is `tried`."""
        self.known |= tried - _OF_REQUEST

    def find(self, complaint: Complaint, body: Mapping[str, Any], request: InferenceRequest) -> MessageQuirk | None:
        """Return what the upstream has refused in `body`; `None` where its complaint is about something else."""
        if complaint.status not in _STATUSES:
            return None
        said = f"{complaint.param} {complaint.message}".lower()
        if request.parameters.max_tokens is None and (bound := _BOUND.search(said)):
            self._most_tokens = max(1, int(bound[1]))
            return MessageQuirk.MAX_TOKENS
        if _ABOUT_STOPS.search(said) and any(not stop.strip() for stop in body.get("stop_sequences", ())):
            return MessageQuirk.BLANK_STOPS
        if _ABOUT_REASONING.search(said):
            return MessageQuirk.REASONING
        if "temperature" in body and "top_p" in body and "temperature" in said and "top_p" in said:
            return MessageQuirk.TWO_KINDS
        is_refused = bool(_REFUSED.search(said))
        if is_refused and any(name in body for name in _ABOUT_SAMPLING.findall(said)):
            return MessageQuirk.SAMPLING
        if "system" in (message.get("role") for message in body["messages"]) and _ABOUT_SYSTEM.search(said):
            return MessageQuirk.SYSTEM_TURNS
        config = body.get("output_config") or {}
        if "format" in config and _ABOUT_FORM.search(said) and not said.strip().startswith("tools"):
            return MessageQuirk.FORM
        if is_refused and "thinking" in body and _ABOUT_THINKING.search(said):
            return _way_of(body["thinking"])
        if "effort" in config and _ABOUT_EFFORT.search(said):
            is_level = not is_refused or is_of_value(said, config["effort"])
            return MessageQuirk.LEVEL if is_level else MessageQuirk.EFFORT
        is_prefilled = request.prefix and body["messages"][-1].get("role") == "assistant"
        if is_prefilled and (ABOUT_PREFILL.search(said) or "user message" in said or not complaint.message.strip()):
            return MessageQuirk.PREFILL
        return None


def _without_blank_stops(body: dict[str, Any], stops: Sequence[str]) -> list[str]:
    """Leave out the stop sequences without a visible character, and return what the caller loses by that."""
    left = [stop for stop in stops if stop.strip()]
    body["stop_sequences"] = left
    if not left:
        del body["stop_sequences"]
    return ["stop"] if len(left) < len(stops) else []


def _way_of(thinking: Any) -> MessageQuirk:
    """Return which way to think is refused; `THINKING` where it may be something else of `thinking`."""
    if not isinstance(thinking, Mapping) or not thinking.keys() <= _OF_WAYS:
        return MessageQuirk.THINKING
    return _WAYS.get(str(thinking.get("type")), MessageQuirk.THINKING)


def _without_thinking(body: dict[str, Any], quirks: AbstractSet[Enum]) -> bool:
    """Leave out `thinking` where it is not taken as it is asked for; return whether the caller loses by that."""
    if "thinking" not in body:
        return False
    is_refused = not quirks.isdisjoint({MessageQuirk.THINKING, _way_of({"type": _kind_of(body["thinking"])})})
    if not is_refused and MessageQuirk.REASONING not in quirks:
        return False
    lost = is_refused or thinks(body)
    del body["thinking"]
    return lost


def _kind_of(thinking: Any) -> Any:
    return thinking.get("type") if isinstance(thinking, Mapping) else None


def _without_effort(body: dict[str, Any], quirks: AbstractSet[Enum]) -> bool:
    """Leave out the effort where it is not taken; return whether the caller loses by that."""
    config = dict(body.get("output_config") or {})
    if quirks.isdisjoint({MessageQuirk.EFFORT, MessageQuirk.LEVEL}) or config.pop("effort", None) is None:
        return False
    body["output_config"] = config
    if not config:
        del body["output_config"]
    return True


def _take_form(body: dict[str, Any]) -> Mapping[str, Any]:
    """Take the form of the answer out of `body`, and return it."""
    config = dict(body.get("output_config") or {})
    form: Mapping[str, Any] = config.pop("format", None) or body.pop("output_format", None) or {}
    body["output_config"] = config
    if not config:
        del body["output_config"]
    return form
