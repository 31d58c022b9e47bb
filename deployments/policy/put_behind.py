"""Candidates that were put behind all others (`PUT_BEHIND`): when one of them is asked after all.

all others have failed                                          at once
all others were asked, and the one that is waited for
    is silent for too long, or has had its time                 then, beside that one
    was started before the cut-over and has not answered        at the cut-over, beside that one
"""

import math
from collections.abc import Sequence

from deployments.policy.attempt import Attempt, Candidate, Ended, Running, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.outcome import PUT_BEHIND, Refused
from deployments.policy.step import Start, WaitUntil


def all_put_behind(candidates: Sequence[Candidate], attempts: Sequence[Attempt]) -> tuple[Candidate, ...]:
    """Return those of `candidates` that were put behind and not asked since."""
    last = {attempt.candidate: attempt for attempt in attempts}
    return tuple(candidate for candidate in candidates if _is_put_behind(last.get(candidate)))


def first_put_behind(candidates: Sequence[Candidate], attempts: Sequence[Attempt]) -> Candidate | None:
    """Return the first of those; `None` where there is none."""
    return next(iter(all_put_behind(candidates, attempts)), None)


def _is_put_behind(attempt: Attempt | None) -> bool:
    outcome = attempt.outcome if isinstance(attempt, Ended) else None
    return isinstance(outcome, Refused) and outcome.reason.startswith(PUT_BEHIND)


def ask_beside(
    chain: FallbackChain, attempts: Sequence[Attempt], latest: Running, now: float
) -> Start | WaitUntil | None:
    """Start a candidate that was put behind beside `latest`, or wait for that; `None` where there is none."""
    candidate = first_put_behind(chain.candidates, attempts)
    if candidate is None:
        return None
    cut_over = chain.deadline.cut_over
    due = min(
        -math.inf if latest.suspected else latest.silent_at,
        chain.per_try_end(latest.candidate, latest.started, latest.alive),
        cut_over if latest.started < cut_over else math.inf,
    )
    return Start(candidate, Why.BEHIND) if now >= due else WaitUntil(due)
