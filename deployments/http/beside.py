"""What came beside an answer, for the formats that have a place of their own for some of it, and none for the rest."""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec.structs import replace

from deployments.http.completions import provenance, says_nothing_but_calls
from deployments.http.counts import TokenCounts, count_tokens, result_text
from deployments.policy.answer import Answer
from deployments.policy.extras import OUTPUT_ITEMS, WRITTEN_OUTPUT, Extras
from deployments.request import InferenceRequest

THOUGHTS = ("reasoning_content", "reasoning")
"""Where providers tell reasoning."""


def thoughts_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning in the fields of a message, or in those of a piece of one."""
    return next((text for key in THOUGHTS if isinstance(text := message.get(key), str) and text), "")


def written_text(answer: Answer) -> str:
    """Return the text of an answer; empty where it is nothing but tool calls."""
    return "" if says_nothing_but_calls(answer) else result_text(answer)


def counts_of(answer: Answer, request: InferenceRequest | None, pieces: int = 1) -> TokenCounts:
    """Return the token counts of an answer that was streamed in so many `pieces`; no request is one unread."""
    return count_tokens([answer], [request] if request is not None else (), pieces)


def detail_of(usage: Mapping[str, Any], group: str, name: str) -> int:
    """Return one of the details in a `usage` object of OpenAI's form; 0 where it is not there."""
    details = usage.get(group)
    count = details.get(name) if isinstance(details, Mapping) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0


def provenance_and_extras(
    answer: Answer,
    request_id: str,
    *,
    usage_estimated: bool,
    placed: Collection[str] = THOUGHTS,
    placed_of_choice: Collection[str] = (),
) -> dict[str, Any]:
    """Return the object `neverblank` with the model that answered, and `extras`: what has no place elsewhere.

    Args:
        answer: the answer.
        request_id: the id of the call.
        usage_estimated: some of the token counts are estimated.
        placed: the fields of the message that have their place.
        placed_of_choice: those of the choice.
    """
    extras = answer.extras
    message = {key: value for key, value in extras.message.items() if key not in placed and key != OUTPUT_ITEMS}
    body = {key: value for key, value in extras.body.items() if key != WRITTEN_OUTPUT}
    choice = {key: value for key, value in extras.choice.items() if key not in placed_of_choice}
    beside = replace(extras, body=body, message=message, choice=choice, usage={}) if extras else Extras()
    return {
        **provenance(answer, request_id, usage_estimated=usage_estimated),
        "model": answer.model,
        **({"extras": beside.to_json()} if beside else {}),
    }
