"""What no model may ever answer, however often it is asked: the caller's to mend, and no outage."""

from collections.abc import Sequence

from deployments.policy.outcome import UNKNOWN_MODEL, Finished, Outcome, Refused, Rejected
from deployments.policy.problem import MODEL_NOT_FOUND

NO_SUCH_MODEL = Rejected("no model has this name; GET /v1/models lists them", "model", MODEL_NOT_FOUND, elsewhere=True)
"""What becomes of a request for a model that does not exist, where no other may answer."""


def why_impossible(outcomes: Sequence[Outcome | Finished | None]) -> Rejected | None:
    """Return why a request is the caller's to mend, given the last outcome of each candidate, `None` without one.

    It is where nobody can ever take it: each candidate has rejected it, or does not exist. Then that is the word of the
    first that exists.
    """
    if not outcomes or not all(isinstance(outcome, Rejected) or _is_unknown(outcome) for outcome in outcomes):
        return None
    return next((outcome for outcome in outcomes if isinstance(outcome, Rejected)), NO_SUCH_MODEL)


def _is_unknown(outcome: Outcome | Finished | None) -> bool:
    return isinstance(outcome, Refused) and outcome.reason == UNKNOWN_MODEL
