"""Who is asked next, and when: the heart of the service, as a pure function of what has happened.

Rules kept here:

1. The answer is never blank: it is an acceptable one, or the last-resort message (which cannot be blank).
2. Nothing is waited for beyond `deadline.answer_by`.
3. A failure starts the next candidate at once; slowness starts it when the slice of the running one is over,
   and the slow one goes on: the first acceptable answer wins.
4. Every candidate is asked at most once.
5. At `deadline.cut_over` the backup is started, however many candidates have not been asked yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.policy.answer import Answer, Attempt, Candidate, Ended, Running, Tier
from deployments.policy.blank import is_blank
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import Answered, Cancelled, TimedOut

LAST_RESORT = "last_resort"
"""The model name and the finish reason of a last-resort answer."""


@dataclass(frozen=True, slots=True)
class FallbackChain:
    """The candidates of one request, best first, with the last resort behind them.

    Raises:
        ValueError: a blank last-resort message, the same model twice in one tier, or a candidate out of the
            order primary, backup.
    """

    candidates: tuple[Candidate, ...]
    deadline: Deadline
    last_resort: str

    def __post_init__(self) -> None:
        if is_blank(self.last_resort):
            raise ValueError("a chain ends with a last-resort message that is not blank")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("a chain asks every candidate once")
        tiers = [candidate.tier for candidate in self.candidates]
        if Tier.LAST_RESORT in tiers or tiers != sorted(tiers, key=list(Tier).index):
            raise ValueError("a chain asks the primary tier first, then the backup")


@dataclass(frozen=True, slots=True)
class Start:
    """Ask `candidate` now."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Wait for an attempt to end, at most until `time`."""

    time: float


@dataclass(frozen=True, slots=True)
class Finish:
    """Give `answer`; its trace says how the attempts still running ended, which are to be cancelled."""

    answer: Answer


Step = Start | WaitUntil | Finish


def next_step(chain: FallbackChain, attempts: Sequence[Attempt], now: float) -> Step:
    """Decide what to do at `now`, given all attempts made so far in the order of their starts."""
    acceptable = [a for a in attempts if isinstance(a, Ended) and isinstance(a.outcome, Answered)]
    if acceptable:
        return Finish(_accept(chain, min(acceptable, key=lambda a: a.ended), attempts, now))
    if now >= chain.deadline.answer_by:
        return Finish(_give_up(chain, attempts, now))

    asked = {attempt.candidate for attempt in attempts}
    unasked = [candidate for candidate in chain.candidates if candidate not in asked]
    running = [attempt for attempt in attempts if isinstance(attempt, Running)]
    if not unasked:
        return WaitUntil(chain.deadline.answer_by) if running else Finish(_give_up(chain, attempts, now))
    if now >= chain.deadline.cut_over and unasked[-1].tier is Tier.BACKUP:
        return Start(unasked[-1])
    if not running:
        return Start(unasked[0])
    slice_end = _slice_end(chain, running[-1])
    return Start(unasked[0]) if now >= slice_end else WaitUntil(slice_end)


def _slice_end(chain: FallbackChain, attempt: Attempt) -> float:
    """When `attempt` has had its share of the deadline.

    The models of a tier share what is left for that tier evenly with those of it still to come: the primary
    tier has until the cut-over where a backup follows, whoever comes last in the chain until `answer_by`.
    """
    later = chain.candidates[chain.candidates.index(attempt.candidate) + 1 :]
    peers = sum(candidate.tier is attempt.candidate.tier for candidate in later)
    tier_end = chain.deadline.cut_over if len(later) > peers else chain.deadline.answer_by
    left = max(0.0, tier_end - attempt.started)
    # Never beyond the tier's own end, by which others are judged: floating point would let it by an ulp.
    return min(max(tier_end, attempt.started), attempt.started + left / (peers + 1))


def _accept(chain: FallbackChain, winner: Ended, attempts: Sequence[Attempt], now: float) -> Answer:
    assert isinstance(winner.outcome, Answered)  # noqa: S101 - narrowed by the caller
    return Answer(
        result=winner.outcome.result,
        model=winner.candidate.model,
        served_by=winner.candidate.tier,
        degraded=winner.candidate != chain.candidates[0],
        attempts=_settled(chain, attempts, now),
        usage=winner.outcome.usage,
        finish_reason=winner.outcome.finish_reason,
    )


def _give_up(chain: FallbackChain, attempts: Sequence[Attempt], now: float) -> Answer:
    return Answer(
        result=chain.last_resort,
        model=LAST_RESORT,
        served_by=Tier.LAST_RESORT,
        degraded=True,
        attempts=_settled(chain, attempts, now),
        finish_reason=LAST_RESORT,
    )


def _settled(chain: FallbackChain, attempts: Sequence[Attempt], now: float) -> tuple[Ended, ...]:
    """Every attempt as ended: one cut off after its slice timed out, one cut off within it was just beaten."""
    return tuple(attempt if isinstance(attempt, Ended) else _cut_off(chain, attempt, now) for attempt in attempts)


def _cut_off(chain: FallbackChain, attempt: Running, now: float) -> Ended:
    slice_end = _slice_end(chain, attempt)
    if now >= slice_end:
        outcome: TimedOut | Cancelled = TimedOut(f"no answer within {slice_end - attempt.started:.2f} s")
    else:
        outcome = Cancelled("another tier answered first")
    return Ended(attempt.candidate, attempt.started, now, outcome)
