"""Who is asked next, and when: the heart of the service, as a pure function of what has happened.

Rules kept here:

1. The answer is never blank: it is an acceptable one, or the last-resort message (which cannot be blank). The first
   acceptable one wins. Nothing is waited for beyond `deadline.answer_by`.
2. A transient failure has the same model asked again, within its slice: see `retry`.
3. Any other failure starts the next candidate at once; slowness starts it when the slice of the running one is
   over, and the slow one goes on.
4. At `deadline.cut_over` the backup tier begins, whatever else is going on.
5. It begins earlier beside a model that takes longer than it usually does (hedge), and beside one that is only being
   tried again (probe), which wins if it is hardly later. The primary tier goes on by its own rules meanwhile.
6. A request that the model asked for calls invalid is handed back to its caller, and asked of nobody else.
7. What a budget refuses (`Allowance`) is an extra, never an answer.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import force_setattr

from deployments.policy.answer import Answer, Attempt, Candidate, Ended, Running, Tier, Why
from deployments.policy.blank import is_blank
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Answered, Outcome, Rejected
from deployments.policy.retry import RetryPolicy, retry_at
from deployments.policy.trace import FAIR_SHARE, LAST_RESORT, close_trace, last_resort_answer, winning_answer

__all__ = ["LAST_RESORT", "Allowance", "FallbackChain", "Finish", "Reject", "Start", "Step", "WaitUntil", "next_step"]

DEFAULT_RETRY = RetryPolicy()

FIRST_CONTENT_SHARE = 1 / 3
"""No candidate's first content is waited for longer than this share of a deadline before the next is started."""


PROBE_GRACE_S = 0.02
"""How long a model that is being tried again may take longer than the backup beside it, and still be the one that
answers: a model that is well again is to be in use again, though the backup is about as fast."""


class Allowance(Struct, frozen=True):
    """What the budgets leave for extras at this moment."""

    retry: bool = True
    hedge: bool = True


EVERYTHING = Allowance()
"""No budget is short."""


class FallbackChain(Struct, frozen=True):
    """The candidates of one request, best first, with the last resort behind them.

    Attributes:
        candidates: the primary tier's, then the backup tier's.
        deadline: shared by all.
        last_resort: what is said when nobody answers.
        retry: how often a model is asked again.
        hedge_after_s: seconds after which the first candidate counts as slow; infinite for no hedge.
        first_content_s: seconds any candidate of a stream has for its first content before the next is started.
        rescue_rejected: the next candidate is asked when a model calls the request invalid.
        rescue_withheld: the same when a content filter withheld the answer.
        jitter: a draw in [0, 1) that spreads retries.
        primaries: the candidates of the primary tier; worked out, whatever is given.
        backups: those of the backup tier; worked out, too.

    Raises:
        ValueError: a blank last-resort message, the same model twice in one tier, a candidate out of the
            order primary, backup, or a jitter that is none.
    """

    candidates: tuple[Candidate, ...]
    deadline: Deadline
    last_resort: str
    retry: RetryPolicy = DEFAULT_RETRY
    hedge_after_s: float = math.inf
    first_content_s: float = math.inf
    rescue_rejected: bool = False
    rescue_withheld: bool = False
    jitter: float = 0.5
    primaries: tuple[Candidate, ...] = ()
    backups: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        primaries, backups = _by_tier(self.candidates)
        force_setattr(self, "primaries", primaries)
        force_setattr(self, "backups", backups)
        if is_blank(self.last_resort):
            raise ValueError("a chain ends with a last-resort message that is not blank")
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter is at least 0 and below 1")

    def of(self, tier: Tier) -> tuple[Candidate, ...]:
        """The candidates of `tier`."""
        return self.primaries if tier is Tier.PRIMARY else self.backups


@lru_cache(maxsize=1024)
def _by_tier(candidates: tuple[Candidate, ...]) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """The candidates of the two tiers; the same few sequences come again with every request."""
    if len(set(candidates)) != len(candidates):
        raise ValueError("a chain holds every candidate once")
    primaries = tuple(candidate for candidate in candidates if candidate.tier is Tier.PRIMARY)
    backups = tuple(candidate for candidate in candidates if candidate.tier is Tier.BACKUP)
    if candidates != primaries + backups:
        raise ValueError("a chain asks the primary tier first, then the backup")
    return primaries, backups


class Start(Struct, frozen=True):
    """Ask `candidate` now."""

    candidate: Candidate
    why: Why = Why.NEXT


class WaitUntil(Struct, frozen=True):
    """Wait for an attempt to end, at most until `time`."""

    time: float


class Finish(Struct, frozen=True):
    """Give `answer`; its trace says how the attempts still running ended, which are to be cancelled."""

    answer: Answer


class Reject(Struct, frozen=True):
    """Hand the request back: the model asked for calls it invalid. `attempts` is the trace."""

    rejected: Rejected
    attempts: tuple[Ended, ...]


Step = Start | WaitUntil | Finish | Reject


class _Exhausted(Struct, frozen=True):
    """Nobody of a tier is left to be asked, or will be before the time of its last one is over."""


def next_step(chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance = EVERYTHING) -> Step:
    """Decide what to do at `now`, given all attempts made so far in the order of their starts."""
    ended = [attempt for attempt in attempts if isinstance(attempt, Ended)]
    acceptable = [attempt for attempt in ended if _is_acceptable(chain, attempt.outcome)]
    if acceptable:
        winner = min(acceptable, key=lambda attempt: attempt.ended)
        if winner.why is Why.BESIDE_PROBE:
            grace = min(winner.ended + PROBE_GRACE_S, chain.deadline.answer_by)
            if now < grace and any(isinstance(attempt, Running) and attempt.probe for attempt in attempts):
                return WaitUntil(grace)
            winner = min(acceptable, key=lambda attempt: chain.candidates.index(attempt.candidate))
        return Finish(winning_answer(chain.candidates[0], winner, _settle(chain, attempts, now)))
    for attempt in ended:
        if isinstance(attempt.outcome, Rejected) and _hands_back(chain, attempt.candidate):
            return Reject(attempt.outcome, _settle(chain, attempts, now))
    if now >= chain.deadline.answer_by:
        return Finish(last_resort_answer(chain.last_resort, _settle(chain, attempts, now)))
    return _go_on(chain, attempts, now, allowance)


def _go_on(chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance) -> Step:
    backups = chain.backups
    begun = [attempt for attempt in attempts if attempt.candidate.tier is Tier.BACKUP]
    if backups and not begun and now >= chain.deadline.cut_over:
        return Start(backups[0], Why.CUT_OVER)
    # A primary tier that gave way for want of budget does not come back when there is some.
    gave_way = bool(begun) and begun[0].why is Why.NEXT
    primary = _Exhausted() if gave_way else _advance(chain, Tier.PRIMARY, attempts, now, allowance)
    if isinstance(primary, Start):
        return primary
    if begun or isinstance(primary, _Exhausted):
        backup = _advance(chain, Tier.BACKUP, attempts, now, allowance)
    else:
        backup = _early(chain, attempts, now, allowance) if backups else _Exhausted()
    if isinstance(backup, Start):
        return backup
    waits = [step.time for step in (primary, backup) if isinstance(step, WaitUntil)]
    if not waits and not any(isinstance(attempt, Running) for attempt in attempts):
        return Finish(last_resort_answer(chain.last_resort, _settle(chain, attempts, now)))
    return WaitUntil(min([*waits, chain.deadline.answer_by]))


def _early(chain: FallbackChain, attempts: Sequence[Attempt], now: float, allowance: Allowance) -> Start | WaitUntil:
    """Whether the backup is started before its turn, beside the primary tier."""
    backup = chain.backups[0]
    if any(isinstance(attempt, Running) and attempt.probe for attempt in attempts):
        return Start(backup, Why.BESIDE_PROBE)
    hedge_at = _hedge_at(chain, attempts) if allowance.hedge else math.inf
    return Start(backup, Why.HEDGE) if now >= hedge_at else WaitUntil(min(hedge_at, chain.deadline.cut_over))


def _hedge_at(chain: FallbackChain, attempts: Sequence[Attempt]) -> float:
    """When the first candidate, if it is running, has taken longer than it usually does."""
    first = chain.candidates[0]
    tries = [attempt for attempt in attempts if attempt.candidate == first]
    if first.tier is not Tier.PRIMARY or not tries or isinstance(tries[-1], Ended):
        return math.inf
    return tries[0].started + chain.hedge_after_s


def _advance(
    chain: FallbackChain, tier: Tier, attempts: Sequence[Attempt], now: float, allowance: Allowance
) -> Start | WaitUntil | _Exhausted:
    """What the models of `tier` do by themselves: retry, give way to the next one, or wait."""
    mine = [attempt for attempt in attempts if attempt.candidate.tier is tier]
    if not mine:
        return _following(chain, tier, attempts)
    front = mine[-1].candidate
    tries = [attempt for attempt in mine if attempt.candidate == front]
    slice_end = _slice_end(chain, front, tries[0].started)
    if now >= slice_end:
        return _following(chain, tier, attempts)
    done = [attempt for attempt in tries if isinstance(attempt, Ended)]
    if len(done) < len(tries):  # the last one is running
        return WaitUntil(slice_end)
    due = retry_at(chain.retry, done, slice_end, chain.jitter) if allowance.retry else math.inf
    if math.isinf(due):
        return _following(chain, tier, attempts)
    return Start(front, Why.RETRY) if now >= due else WaitUntil(due)


def _following(chain: FallbackChain, tier: Tier, attempts: Sequence[Attempt]) -> Start | _Exhausted:
    """The next model of `tier` that has not been asked."""
    asked = [attempt.candidate for attempt in attempts]
    for candidate in chain.of(tier):
        if candidate not in asked:
            return Start(candidate)
    return _Exhausted()


def _slice_end(chain: FallbackChain, candidate: Candidate, started: float) -> float:
    """When `candidate`, first asked at `started`, has had its share of the deadline; its retries share it.

    The models of a tier share what is left for that tier evenly with those of it still to come.
    """
    peers = chain.of(candidate.tier)
    left = len(peers) - peers.index(candidate)
    tier_end = _tier_end(chain, candidate.tier, started)
    # The last one's is the tier's end itself: `started + (tier_end - started)` can come out an ulp beside it.
    end = tier_end if left == 1 else min(tier_end, started + (tier_end - started) / left)
    return min(end, started + _patience_s(chain))


def _tier_end(chain: FallbackChain, tier: Tier, started: float) -> float:
    """Until when an attempt of `tier` may go on before somebody else is asked.

    Primaries have until the cut-over where a backup follows. One that is only asked after that (the driver was held
    up) has until `answer_by`, like the backups.
    """
    followed = tier is Tier.PRIMARY and started < chain.deadline.cut_over and bool(chain.backups)
    return chain.deadline.cut_over if followed else chain.deadline.answer_by


def _patience_s(chain: FallbackChain) -> float:
    """The longest slice any candidate gets: of a stream, seconds for its first content."""
    if math.isinf(chain.first_content_s):
        return math.inf
    return min(chain.first_content_s, FIRST_CONTENT_SHARE * chain.deadline.seconds)


def _fair_s(chain: FallbackChain, tier: Tier) -> float:
    """Seconds that an attempt has to have had to be charged with a time-out: see `verdict.FAIR_SHARE`."""
    begins = chain.deadline.start
    if tier is Tier.BACKUP and chain.primaries:
        begins = chain.deadline.cut_over
    even = (_tier_end(chain, tier, begins) - begins) / len(chain.of(tier))
    return FAIR_SHARE * min(even, _patience_s(chain))


def _settle(chain: FallbackChain, attempts: Sequence[Attempt], now: float) -> tuple[Ended, ...]:
    if all(isinstance(attempt, Ended) for attempt in attempts):  # the usual case
        return tuple(attempt for attempt in attempts if isinstance(attempt, Ended))
    first_start: dict[Candidate, float] = {}
    for attempt in attempts:
        first_start.setdefault(attempt.candidate, attempt.started)
    ends = [_slice_end(chain, attempt.candidate, first_start[attempt.candidate]) for attempt in attempts]
    return close_trace(attempts, ends, [_fair_s(chain, attempt.candidate.tier) for attempt in attempts], now)


def _is_acceptable(chain: FallbackChain, outcome: Outcome) -> bool:
    if not isinstance(outcome, Answered):
        return False
    return not (chain.rescue_withheld and outcome.finish_reason == "content_filter")


def _hands_back(chain: FallbackChain, candidate: Candidate) -> bool:
    return candidate == chain.candidates[0] and not chain.rescue_rejected
