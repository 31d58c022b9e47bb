"""The token counts of answers, in OpenAI's `usage` object. Counts that no model gave are estimated, and marked so."""

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.outcome import Usage
from deployments.policy.token_estimate import estimate_tokens
from deployments.request import InferenceRequest
from deployments.request.prompt_estimate import estimate_prompt_tokens


class TokenCounts(Struct, frozen=True):
    """The token counts of an API call.

    Attributes:
        usage: an object of OpenAI's form; of a single answer with all details that its model gave.
        estimated: some of the counts are estimated.
    """

    usage: dict[str, Any]
    estimated: bool


def result_text(answer: Answer) -> str:
    """Return the result as a text: JSON where it is not a text."""
    return answer.result if isinstance(answer.result, str) else orjson.dumps(answer.result).decode()


def count_tokens(answers: Sequence[Answer], requests: Sequence[InferenceRequest], pieces: int = 1) -> TokenCounts:
    """Return the sum of the token counts of `answers`.

    Args:
        answers: the answers; a last resort counts as 0 tokens where no model has written a part of it.
        requests: what was asked, in the same order; may be empty where the request was not read.
        pieces: the number of pieces in which a single answer was streamed.
    """
    counted = [_count(answer, requests[place] if requests else None, pieces) for place, answer in enumerate(answers)]
    if len(counted) > 1:
        read, written = zip(*((usage.prompt_tokens, usage.completion_tokens) for usage, _ in counted), strict=True)
        return TokenCounts(Usage(sum(read), sum(written)).to_json(), any(estimated for _, estimated in counted))
    usage, estimated = counted[0]
    told = usage.to_json()
    details = answers[0].extras.usage
    if details and not estimated:
        total = details.get("total_tokens")
        told = {**details, **told} | ({"total_tokens": total} if isinstance(total, int) else {})
    return TokenCounts(told, estimated)


def _count(answer: Answer, request: InferenceRequest | None, pieces: int) -> tuple[Usage, bool]:
    """Return the counts of one answer, and whether they are estimated."""
    if answer.usage is not None:
        return answer.usage, answer.usage_estimated
    if answer.served_by is Tier.LAST_RESORT and all(ended.from_character is None for ended in answer.attempts):
        return Usage(0, 0), False
    read = estimate_prompt_tokens(request) if request is not None else 0
    return Usage(read, estimate_tokens(result_text(answer), pieces)), True
