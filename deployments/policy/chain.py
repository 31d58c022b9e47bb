"""The candidates of one request, and how much of its deadline each of them gets."""

import math
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from deployments.policy.attempt import Candidate, Tier
from deployments.policy.continuation import NO_LIMITS, StreamLimits
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import CONTENT_FILTER, Answered, Finished, Outcome, Rejected
from deployments.policy.retry import RetryPolicy

DEFAULT_RETRY = RetryPolicy()

FAIR_SHARE = 0.5
"""An attempt that is cut off at its per-try timeout counts as timed out only if it had at least this share of an even
part of its tier's time. Otherwise it counts as cancelled: a retry that was started late, or a model that was asked late
because another one failed late, must not be charged with the time of others."""

FIRST_CONTENT_SHARE = 1 / 3
"""The next candidate of a stream is started once this share of the deadline has passed in silence. The limit of a model
of its own is not held to it: whoever sets one knows the model."""


class FallbackChain(Struct, frozen=True):
    """The candidates of one request, best first.

    Attributes:
        candidates: the primary tier's, then the backup tier's.
        deadline: shared by all.
        retry: how often a model is asked again.
        hedge_after_s: seconds after which the first candidate counts as slow; infinite for no hedge.
        first_content_s: the longest silence of a stream before its first content; then the next candidate is started.
            Infinite for a whole answer.
        reasoning_s: the longest time that a candidate may be at work before its first content.
        limits: the limits of single models, by their names, where they have their own.
        usual_s: the deadline of requests that set none: an attempt is only judged by what it did within so much time.
        rescue_rejected: the next candidate is asked when a model calls the request invalid.
        rescue_content: the next candidate is asked when a model rejects the request for its content.
        rescue_withheld: the next candidate is asked when a content filter withheld the answer.
        waits: where no candidate can take the request yet and one will soon, the request waits for that one.
        continues: the candidates continue a text that is out already: the request cannot be rejected any more.
        jitter: a draw in [0, 1) that spreads retries.
        primaries: the candidates of the primary tier.
        backups: those of the backup tier. These two are worked out, whatever is given, and once: each step of a request
            asks for them several times.

    Raises:
        ValueError: the same model stands twice in one tier, a candidate is out of the order primary, backup, or the
            jitter is out of its range.
    """

    candidates: tuple[Candidate, ...]
    deadline: Deadline
    retry: RetryPolicy = DEFAULT_RETRY
    hedge_after_s: float = math.inf
    first_content_s: float = math.inf
    reasoning_s: float = math.inf
    limits: Mapping[str, StreamLimits] = {}
    usual_s: float = 0.0
    rescue_rejected: bool = False
    rescue_content: bool = False
    rescue_withheld: bool = False
    waits: bool = True
    continues: bool = False
    jitter: float = 0.5
    primaries: tuple[Candidate, ...] = ()
    backups: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        primaries, backups = _by_tier(self.candidates)
        force_setattr(self, "primaries", primaries)
        force_setattr(self, "backups", backups)
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter is at least 0 and below 1")

    def of(self, tier: Tier) -> tuple[Candidate, ...]:
        """The candidates of `tier`."""
        return self.backups if tier is Tier.BACKUP else self.primaries

    def is_rescued(self, candidate: Candidate, outcome: Outcome | Finished) -> bool:
        """Return whether the policy has the next candidate asked where this outcome would have been the caller's."""
        match outcome:
            case Answered():
                return self.rescue_withheld and outcome.finish_reason == CONTENT_FILTER
            case Rejected(elsewhere=False, content=content) if candidate == self.candidates[0]:
                return self.rescue_content if content else self.rescue_rejected
            case _:
                return False

    def per_try_end(self, candidate: Candidate, started: float, alive: float = -math.inf) -> float:
        """Return when the per-try timeout of `candidate`, first asked at `started`, is over; its retries share it.

        What is left of the tier's time is divided evenly among `candidate` and those behind it in the tier. A candidate
        that has shown at `alive` that it is at work has the tier's time, as long as it goes on showing that.
        """
        return min(self._tier_end(candidate.tier, started), self._own_end(candidate, started, alive))

    def charged_from(self, candidate: Candidate, started: float, alive: float = -math.inf) -> float:
        """Return from when on an attempt that is cut off counts as timed out.

        That is the end of its per-try timeout; but the end of its tier's time is nothing that a model which is at work
        could be charged with.
        """
        is_at_work = alive > started
        return self._own_end(candidate, started, alive) if is_at_work else self.per_try_end(candidate, started)

    def fair_s(self, tier: Tier) -> float:
        """Return the seconds that an attempt must have had to be charged with a time-out: see `FAIR_SHARE`."""
        begins = self.deadline.start
        if tier is Tier.BACKUP and self.primaries:
            begins = self.deadline.cut_over
        even = (self._tier_end(tier, begins) - begins) / len(self.of(tier))
        return FAIR_SHARE * min(even, self._silence_s(self.of(tier)[0]))

    def usual_fair_s(self, tier: Tier) -> float:
        """Return the same for the deadline that requests usually have, unless this one is longer.

        A caller that waits for a shorter time learns nothing about a model: only an attempt that had this time is
        evidence.
        """
        if self.usual_s <= self.deadline.seconds:
            return self.fair_s(tier)
        usual = Deadline(self.deadline.start, self.deadline.start + self.usual_s, self.deadline.reserves)
        return replace(self, deadline=usual).fair_s(tier)

    def _own_end(self, candidate: Candidate, started: float, alive: float) -> float:
        """Return when the time of a candidate is over, its tier's end aside where it is the tier's last."""
        silence_s = self._silence_s(candidate)
        peers = self.of(candidate.tier)
        left = len(peers) - peers.index(candidate)
        # The last one gets the tier's end itself: `started + (its end - started)` can differ from it by an ulp.
        even_s = math.inf if left == 1 else (self._tier_end(candidate.tier, started) - started) / left
        if alive > started:
            quiet_s = silence_s if math.isfinite(silence_s) else even_s
            return min(alive + quiet_s, started + self._reasoning_s(candidate))
        return started + min(even_s, silence_s)

    def _tier_end(self, tier: Tier, started: float) -> float:
        """Return when the time of `tier` is over, for an attempt started at `started`.

        Where a backup follows, the primary tier has until the cut-over. A primary that is started after the cut-over
        (the event loop was held up) has until `answer_by`, like the backups.
        """
        followed = tier is Tier.PRIMARY and started < self.deadline.cut_over and bool(self.backups)
        return self.deadline.cut_over if followed else self.deadline.answer_by

    def _silence_s(self, candidate: Candidate) -> float:
        """The longest silence before the first content of a stream, in seconds; infinite for a whole answer."""
        if math.isinf(self.first_content_s):
            return math.inf
        if (own := self.limits.get(candidate.model, NO_LIMITS).first_content_s) is not None:
            return own
        return min(self.first_content_s, FIRST_CONTENT_SHARE * self.deadline.seconds)

    def _reasoning_s(self, candidate: Candidate) -> float:
        own = self.limits.get(candidate.model, NO_LIMITS).reasoning_s
        return self.reasoning_s if own is None else own


@lru_cache(maxsize=1024)
def _by_tier(candidates: tuple[Candidate, ...]) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """Split candidates into the two tiers. Cached: the same few sequences come with every request."""
    if len(set(candidates)) != len(candidates):
        raise ValueError("a chain holds every candidate once")
    primaries = tuple(candidate for candidate in candidates if candidate.tier is Tier.PRIMARY)
    backups = tuple(candidate for candidate in candidates if candidate.tier is Tier.BACKUP)
    if candidates != primaries + backups:
        raise ValueError("a chain asks the primary tier first, then the backup")
    return primaries, backups
