"""The answer to a question to a tokenizer that cannot be asked: an error, as tokens of another model would be wrong."""

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.last_resort import LAST_RESORT

TOKENIZER_UNAVAILABLE = "tokenizer_unavailable"
"""The code of the error."""


def no_tokens(message: str, retry_after_s: float = 0.0) -> Answer:
    """Return the answer that has `message` as its error; `retry_after_s` as in `Answer`."""
    return Answer(
        message,
        LAST_RESORT,
        Tier.LAST_RESORT,
        degraded=True,
        attempts=(),
        finish_reason=LAST_RESORT,
        refusal=True,
        retry_after_s=retry_after_s,
        unavailable=TOKENIZER_UNAVAILABLE,
    )
