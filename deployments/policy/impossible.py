"""What no model may ever answer, however often it is asked: the caller's to mend, and no outage."""

from collections.abc import Sequence

from deployments.policy.attempt import Candidate, Ended
from deployments.policy.outcome import NOT_READY, UNKNOWN_MODEL, Finished, Outcome, Refused, Rejected
from deployments.policy.problem import MODEL_NOT_FOUND

NOT_LOOKED = NOT_READY + "this router has not seen the models yet"
"""The reason of a refusal while nobody has said yet which models there are: the name may be one that none has."""

NO_SUCH_MODEL = Rejected("no model has this name; GET /v1/models lists them", "model", MODEL_NOT_FOUND, elsewhere=True)
"""What becomes of a request for a model that does not exist, where no other may answer."""


def last_words(trace: Sequence[Ended]) -> dict[Candidate, Outcome | Finished]:
    """Return what each candidate said last. That it is gone by now is no word of one that was there when it was asked.

    A model that is taken away between two attempts of a request was named rightly by its caller.
    """
    said: dict[Candidate, Outcome | Finished] = {}
    for ended in trace:
        if not _is_unknown(ended.outcome) or _may_be_unknown(said.get(ended.candidate)):
            said[ended.candidate] = ended.outcome
    return said


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


def _may_be_unknown(outcome: Outcome | Finished | None) -> bool:
    """Whether an outcome, or that there is none, leaves open that there never was such a model."""
    return outcome is None or _is_unknown(outcome) or (isinstance(outcome, Refused) and outcome.reason == NOT_LOOKED)
