"""Closes the trace of a chain: gives an outcome to the attempts that were cut off at its end."""

from deployments.policy.attempt import Began, Ended, Running
from deployments.policy.chain import FallbackChain
from deployments.policy.outcome import Cancelled, TimedOut


def cut_off(chain: FallbackChain, attempt: Running | Began, first_start: float, now: float) -> Ended:
    """Return an open attempt as ended at `now`: as `Cancelled`, or as `TimedOut` after its per-try timeout.

    Its candidate was asked for the first time at `first_start`.
    """
    taken = now - attempt.started
    outcome: TimedOut | Cancelled
    if isinstance(attempt, Running) and now >= attempt.silent_at:
        silent_s = now - max(attempt.started, attempt.alive)
        outcome = TimedOut(f"silent for {silent_s:.2f} s, far longer than it usually takes")
    elif isinstance(attempt, Began) or now < chain.charged_from(attempt.candidate, first_start, attempt.alive):
        outcome = Cancelled("another tier answered first")
    elif taken < chain.fair_s(attempt.candidate.tier):
        outcome = Cancelled(f"its per-try timeout was over after {taken:.2f} s, less than its fair share")
    else:
        outcome = TimedOut(f"no answer within {taken:.2f} s")
    return Ended(attempt.candidate, attempt.started, now, outcome, attempt.why)
