"""What upstreams of OpenAI's Responses do not take; asked again without it, at once.

    temperature, top_p                  left out, and listed: models that reason choose for themselves
    reasoning.encrypted_content         not asked for: models that do not reason, and servers that encrypt nothing
    reasoning.effort, text.verbosity    left out, and listed
    reasoning of earlier turns          left out: another model, or another account, has encrypted it

The last one depends on the conversation, and is not remembered. Nor is what is refused for its value alone: one caller
asks for an effort that the model does not have, and others for one that it has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from deployments.request import InferenceRequest
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.adaptation import NOT_TAKEN, is_of_value
from deployments.upstream.complaints import Complaint
from deployments.upstream.responses.body import ENCRYPTED
from deployments.upstream.responses.items import without_reasoning_items

_STATUSES = frozenset({200, 400, 404, 422})
_SAMPLED = ("temperature", "top_p")


class ResponseQuirk(Enum):
    """Something that an upstream of this format does not take."""

    SAMPLING = "sampling"
    ENCRYPTED = ENCRYPTED
    EFFORT = "reasoning.effort"
    VERBOSITY = "text.verbosity"
    REASONING = "reasoning items"
    THIS_SAMPLING = "these values of sampling"
    THIS_EFFORT = "this effort"
    THIS_VERBOSITY = "this verbosity"


_OF_VALUES: Mapping[ResponseQuirk, ResponseQuirk] = {
    ResponseQuirk.SAMPLING: ResponseQuirk.THIS_SAMPLING,
    ResponseQuirk.EFFORT: ResponseQuirk.THIS_EFFORT,
    ResponseQuirk.VERBOSITY: ResponseQuirk.THIS_VERBOSITY,
}
_OF_REQUEST = frozenset({ResponseQuirk.REASONING, *_OF_VALUES.values()})

_ABOUT: Mapping[ResponseQuirk, re.Pattern[str]] = {
    ResponseQuirk.REASONING: re.compile(
        r"encrypted[ _]content.{0,80}(verif|decrypt|invalid|mismatch)|\brs_\w+|of type .?reasoning"
        r"|input\[\d+\].{0,40}reasoning"
    ),
    ResponseQuirk.ENCRYPTED: re.compile(r"encrypted|\binclude\b"),
    ResponseQuirk.SAMPLING: re.compile(r"\b(temperature|top_p)\b"),
    ResponseQuirk.EFFORT: re.compile(r"reasoning[._]effort|\breasoning\b"),
    ResponseQuirk.VERBOSITY: re.compile(r"verbosity"),
}


@dataclass(slots=True)
class ResponseAdaptation:
    """What one upstream of this format has shown not to take; see `family.Adapts`.

    Attributes:
        spec: the remote's.
        known: the quirks that are certain.
    """

    spec: RemoteSpec
    known: set[Enum] = field(default_factory=set)

    def adapt(
        self,
        body: dict[str, Any],
        request: InferenceRequest,  # noqa: ARG002 - the same of every request
        tried: frozenset[Enum] = frozenset(),
    ) -> tuple[str, ...]:
        """Change `body` for what the upstream does not take; returns the names of what the caller loses."""
        quirks = self.known | tried
        quirks |= {quirk for quirk, of_value in _OF_VALUES.items() if of_value in quirks}
        dropped: list[str] = []
        if ResponseQuirk.SAMPLING in quirks:
            dropped += [name for name in _SAMPLED if body.pop(name, None) is not None]
        if ResponseQuirk.ENCRYPTED in quirks:
            body["include"] = [each for each in body["include"] if each != ENCRYPTED]
        if ResponseQuirk.REASONING in quirks:
            body["input"] = without_reasoning_items(body["input"])
        if ResponseQuirk.EFFORT in quirks and body.pop("reasoning", None):
            dropped.append("reasoning_effort")
        if ResponseQuirk.VERBOSITY in quirks and "verbosity" in body.get("text", {}):
            body["text"] = {key: value for key, value in body["text"].items() if key != "verbosity"}
            dropped.append("verbosity")
        return tuple(dropped)

    def learn(self, tried: frozenset[Enum]) -> None:
        """Remember that the upstream has answered without what is `tried`."""
        self.known |= tried - _OF_REQUEST

    def find(
        self,
        complaint: Complaint,
        body: Mapping[str, Any],
        request: InferenceRequest,  # noqa: ARG002 - the body tells
    ) -> ResponseQuirk | None:
        """Return what the upstream has refused in `body`; `None` where its complaint is about something else."""
        if complaint.status not in _STATUSES:
            return None
        said = f"{complaint.param} {complaint.message}".lower()
        for quirk, about in _ABOUT.items():
            is_refused = quirk is ResponseQuirk.REASONING or NOT_TAKEN.search(said)
            if is_refused and about.search(said) and _has(body, quirk):
                return _OF_VALUES.get(quirk, quirk) if is_of_value(said, _value_of(body, quirk)) else quirk
        return None


def _has(body: Mapping[str, Any], quirk: ResponseQuirk) -> bool:
    match quirk:
        case ResponseQuirk.SAMPLING:
            return any(name in body for name in _SAMPLED)
        case ResponseQuirk.ENCRYPTED:
            return ENCRYPTED in body["include"]
        case ResponseQuirk.EFFORT:
            return "reasoning" in body
        case ResponseQuirk.VERBOSITY:
            return "verbosity" in body.get("text", {})
        case ResponseQuirk.REASONING:
            return any(item.get("type") == "reasoning" for item in body["input"])
        case _:
            return False  # those for values are found by the fields that they are about


def _value_of(body: Mapping[str, Any], quirk: ResponseQuirk) -> Any:
    """Return what a caller has asked for in words, which a complaint may repeat."""
    match quirk, body:
        case ResponseQuirk.EFFORT, {"reasoning": {"effort": value}}:
            return value
        case ResponseQuirk.VERBOSITY, {"text": {"verbosity": value}}:
            return value
        case _:
            return None
