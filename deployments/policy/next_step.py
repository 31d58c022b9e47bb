"""Which candidate is asked next, and when: the heart of the service, as a pure function of what has happened.

Rules kept here:

1. The first acceptable answer wins; a blank one is never acceptable. No attempt is waited for beyond
   `deadline.answer_by`: without an answer by then, the chain is exhausted.
2. After a transient failure the same model is asked again, within its per-try timeout: see `retry`.
3. Any other failure starts the next candidate at once. Slowness starts it when the per-try timeout of the running
   one is over, and so does its silence (failover) once that is far longer than its model usually takes; the slow one
   goes on. A model that shows that it is at work is not silent. Beside a model that has been silent of late, and has
   answered nobody since, the next candidate is started at once.
4. The order of the chain is the order: whoever is started, for whatever reason, is the next candidate that was not
   asked yet. At `deadline.cut_over` the backup tier begins, too, whatever else is going on.
5. The next candidate is started earlier beside a model that takes longer than it usually does (hedge), and beside a
   model that is being tried again (probe). A probe wins if it answers within `PROBE_GRACE_S` of the one beside it. The
   tiers go on by their own rules; an extra that fails is no reason to give up the model beside it.
6. Where the model that was asked for calls the request invalid, the request is rejected: no other candidate is asked,
   unless the policy rescues it. Where it says that another model may take the request (a larger context), the others
   are asked, and the request is rejected only if none of them answers. Where no candidate can ever take it, as each of
   them has rejected it or does not exist, it is rejected, too: to ask again would be in vain. A model that vanished
   behind its first attempt did exist when it was asked for.
7. Where every candidate has been asked, and one of them will be ready soon (it starts, loads, is being replaced or
   woken), the request waits for that one until `deadline.answer_by`.
8. A candidate that was put behind is asked once everybody else has failed, or is waited for in vain: see `put_behind`.
9. A budget that is used up (`Allowance`) stops extra attempts, never the answer.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from deployments.policy.allowance import EVERYTHING, Allowance
from deployments.policy.attempt import Attempt, Began, Candidate, Ended, Running, Tier, Why
from deployments.policy.chain import FallbackChain
from deployments.policy.impossible import last_words, why_impossible
from deployments.policy.outcome import Answered, Failed, Refused, Rejected
from deployments.policy.put_behind import ask_beside, first_put_behind
from deployments.policy.retry import retry_at
from deployments.policy.step import Accept, AwaitReady, Exhausted, Reject, Start, Step, WaitUntil
from deployments.policy.trace import cut_off

PROBE_GRACE_S = 0.02
"""Seconds by which a probe may answer later than the model beside it and still win: a model that has recovered is to
be used again even where the other is about as fast."""

_EXTRAS = frozenset({Why.HEDGE, Why.BESIDE_PROBE})
"""Attempts that are made beside a model whose turn it still is."""


class _TierDone(Struct, frozen=True):
    """Every candidate of a tier has been asked; the last one is not retried, or its per-try timeout is over."""


_DONE = _TierDone()


def next_step(chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance = EVERYTHING) -> Step:
    """Return what to do at `now`, given all attempts made so far in the order of their starts."""
    answered: dict[int, float] = {}  # by the place: when there was an acceptable answer, or first content
    for place, attempt in enumerate(attempts):
        if type(attempt) is Ended:  # `isinstance` asks the metaclass where that is not so; here and below
            if _is_acceptable(chain, attempt):
                answered[place] = attempt.ended
        elif type(attempt) is Began:
            answered[place] = attempt.began
    if answered:
        place = min(answered, key=answered.__getitem__)
        if attempts[place].why is Why.BESIDE_PROBE:
            grace = min(answered[place] + PROBE_GRACE_S, chain.deadline.answer_by)
            if now < grace and any(isinstance(attempt, Running) and attempt.probe for attempt in attempts):
                return WaitUntil(grace)
            place = min(answered, key=lambda place: chain.candidates.index(attempts[place].candidate))
        return _accept(chain, attempts, place, now)
    for attempt in attempts:
        match attempt:
            # A fallback's rejection does not end the chain, nor does one that others may not share.
            case Ended(candidate=candidate, outcome=Rejected(elsewhere=False) as rejected) if (
                candidate == chain.candidates[0] and not chain.is_rescued(candidate, rejected)
            ):
                return Reject(rejected, _close(chain, attempts, now))
    if now >= chain.deadline.answer_by:
        return _exhausted(chain, attempts, now)
    return _step_tiers(chain, attempts, now, allowance)


def _step_tiers(chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance) -> Step:
    backups, cut_over = chain.backups, chain.deadline.cut_over
    begun = [attempt for attempt in attempts if attempt.candidate.tier is Tier.BACKUP]
    if backups and not begun and now >= cut_over:
        return _cut_over(chain, attempts)
    # A primary tier that was left because the retry budget was empty does not retry once there is budget again.
    primary_done = bool(begun) and begun[0].why is Why.NEXT
    primary = _DONE if primary_done else _step_tier(chain, Tier.PRIMARY, attempts, now, allowance)
    if type(primary) is Start:
        return primary
    backup: Start | WaitUntil | _TierDone = WaitUntil(cut_over) if backups else _DONE
    if begun:
        backup = _step_tier(chain, Tier.BACKUP, attempts, now, allowance)
    elif isinstance(primary, _TierDone):
        backup = _next_in_tier(chain, Tier.BACKUP, attempts)
    if type(backup) is Start:
        return backup
    extra = _extra(chain, attempts, now, allowance)
    if type(extra) is Start:
        return extra
    waits = [step.time for step in (primary, backup, extra) if type(step) is WaitUntil]
    if not waits and not any(isinstance(attempt, Running) for attempt in attempts):
        return _last_chance(chain, attempts, now, allowance)
    return WaitUntil(min([*waits, chain.deadline.answer_by]))


def _cut_over(chain: FallbackChain, attempts: Sequence[Attempt]) -> Start:
    """Start the next candidate of the primary tier, if one is left, and then the backup."""
    started = any(
        attempt.why is Why.CUT_OVER and not (isinstance(attempt, Ended) and isinstance(attempt.outcome, Refused))
        for attempt in attempts
    )
    following = None if started else _unasked(chain.primaries, attempts)
    return Start(following or chain.backups[0], Why.CUT_OVER)


def _last_chance(
    chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance
) -> Start | AwaitReady | Exhausted | Reject:
    """Ask a candidate that was put behind, or wait for one that will be ready soon, or give up."""
    if (behind := first_put_behind(chain.candidates, attempts)) is not None:
        return Start(behind, Why.BEHIND)
    soon = _ready_soon(chain, attempts) if allowance.wait and chain.waits else ()
    return AwaitReady(soon, chain.deadline.answer_by) if soon else _exhausted(chain, attempts, now)


def _exhausted(chain: FallbackChain, attempts: Sequence[Attempt], now: float) -> Exhausted | Reject:
    """End the chain without an answer: by the last resort, or by a rejection (rule 6)."""
    trace = _close(chain, attempts, now)
    rejected = None if chain.continues else _rejection(chain, trace)
    return Exhausted(trace) if rejected is None else Reject(rejected, trace)


def _rejection(chain: FallbackChain, trace: Sequence[Ended]) -> Rejected | None:
    """Return why the request is the caller's to mend; `None` where a model may answer it at another time.

    That is the word of the model that was asked for; or, where nobody can ever take the request, another one's.
    """
    for ended in trace:
        is_first = ended.candidate == chain.candidates[0] and not chain.rescue_rejected
        if is_first and isinstance(ended.outcome, Rejected) and ended.outcome.elsewhere:
            return ended.outcome
    last = last_words(trace)
    return why_impossible([last.get(candidate) for candidate in chain.candidates])


def _ready_soon(chain: FallbackChain, attempts: Sequence[Attempt]) -> tuple[Candidate, ...]:
    """Return the candidates that will be ready soon, best first, judging by their last attempts.

    A candidate that became ready, but was full when it was asked (other requests waited for it, too), counts again.
    """
    last = {attempt.candidate: attempt for attempt in attempts}
    return tuple(
        candidate
        for candidate in chain.candidates
        if isinstance(attempt := last.get(candidate), Ended)
        and isinstance(attempt.outcome, (Failed, Refused))
        and (attempt.outcome.soon or (attempt.why is Why.READY and isinstance(attempt.outcome, Refused)))
    )


def _extra(
    chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance
) -> Start | WaitUntil | None:
    """Start the next candidate before its turn, beside a model that is tried again, silent or slow, or wait for that.

    A candidate that refuses to be an extra is passed over: its own turn is still to come.
    """
    running = [attempt for attempt in attempts if type(attempt) is Running]
    if not running:
        return None
    latest = running[-1]
    following = _unasked(chain.candidates, attempts, allowance.skip)
    if following is None:
        return None if _unasked(chain.candidates, attempts) else ask_beside(chain, attempts, latest, now)
    if latest.probe:
        return Start(following, Why.BESIDE_PROBE)
    if latest.suspected or now >= latest.silent_at:
        return Start(following, Why.FAILOVER)
    hedge_at = _hedge_at(chain, attempts) if allowance.hedge else math.inf
    return Start(following, Why.HEDGE) if now >= hedge_at else WaitUntil(min(hedge_at, latest.silent_at))


def _hedge_at(chain: FallbackChain, attempts: Sequence[Attempt]) -> float:
    """Return when a hedge is due: `hedge_after_s` after the first candidate was asked, if only that one was."""
    first = chain.candidates[0]
    asked = [attempt.candidate for attempt in attempts]
    only = isinstance(attempts[-1], Running) and asked.count(first) == len(asked)
    return attempts[0].started + chain.hedge_after_s if only and first.tier is Tier.PRIMARY else math.inf


def _step_tier(
    chain: FallbackChain, tier: Tier, attempts: Sequence[Attempt], now: float, allowance: Allowance
) -> Start | WaitUntil | _TierDone:
    """Return the next step of `tier` on its own: retry its latest candidate, start the following one, or wait."""
    mine = [attempt for attempt in attempts if attempt.candidate.tier is tier]
    if not mine:
        return _next_in_tier(chain, tier, attempts)
    mine = [attempt for attempt in mine if not (isinstance(attempt, Ended) and attempt.why in _EXTRAS)] or mine
    front = mine[-1].candidate
    tries = [attempt for attempt in mine if attempt.candidate == front]
    last = tries[-1]
    end = chain.per_try_end(front, tries[0].started, last.alive if isinstance(last, Running) else -math.inf)
    if now >= end:
        return _next_in_tier(chain, tier, attempts)
    if isinstance(last, Running):
        return WaitUntil(end)
    done = [attempt for attempt in tries if isinstance(attempt, Ended)]
    due = retry_at(chain.retry, done, end, chain.jitter) if allowance.retry else math.inf
    if math.isinf(due):
        return _next_in_tier(chain, tier, attempts)
    return Start(front, Why.RETRY) if now >= due else WaitUntil(due)


def _next_in_tier(chain: FallbackChain, tier: Tier, attempts: Sequence[Attempt]) -> Start | _TierDone:
    """Start the first candidate of `tier` that has not been asked."""
    following = _unasked(chain.of(tier), attempts)
    why = Why.CONTINUE if chain.continues and not attempts else Why.NEXT
    return _DONE if following is None else Start(following, why)


def _unasked(
    candidates: Sequence[Candidate], attempts: Sequence[Attempt], skip: frozenset[Candidate] = frozenset()
) -> Candidate | None:
    """Return the first of `candidates` that has not been asked and is not to be skipped; `None` where there is none."""
    asked = [attempt.candidate for attempt in attempts]
    for candidate in candidates:
        if candidate not in asked and candidate not in skip:
            return candidate
    return None


def _accept(chain: FallbackChain, attempts: Sequence[Attempt], place: int, now: float) -> Accept:
    trace: list[Ended | Began] = list(_close(chain, attempts, now))
    if isinstance(winner := attempts[place], Began):
        trace[place] = winner
    return Accept(place, tuple(trace))


def _close(chain: FallbackChain, attempts: Sequence[Attempt], now: float) -> tuple[Ended, ...]:
    """Return the trace with every attempt as ended at `now`."""
    ended = [attempt for attempt in attempts if type(attempt) is Ended]
    if len(ended) == len(attempts):  # the usual case
        return tuple(ended)
    first_start: dict[Candidate, float] = {}
    for attempt in attempts:
        first_start.setdefault(attempt.candidate, attempt.started)
    return tuple(
        attempt if isinstance(attempt, Ended) else cut_off(chain, attempt, first_start[attempt.candidate], now)
        for attempt in attempts
    )


def _is_acceptable(chain: FallbackChain, ended: Ended) -> bool:
    return isinstance(ended.outcome, Answered) and not chain.is_rescued(ended.candidate, ended.outcome)
