"""The candidates of one request, and how much of its deadline each of them gets."""

import math
from functools import lru_cache

from msgspec import Struct

from deployments.policy.attempt import Candidate, Tier
from deployments.policy.deadline import Deadline
from deployments.policy.outcome import CONTENT_FILTER, Answered, Finished, Outcome, Rejected
from deployments.policy.retry import RetryPolicy
from deployments.policy.trace import FAIR_SHARE

DEFAULT_RETRY = RetryPolicy()

FIRST_CONTENT_SHARE = 1 / 3
"""The next candidate of a stream is started once this share of the deadline has passed without first content."""


class FallbackChain(Struct, frozen=True):
    """The candidates of one request, best first.

    Attributes:
        candidates: the primary tier's, then the backup tier's.
        deadline: shared by all.
        retry: how often a model is asked again.
        hedge_after_s: seconds after which the first candidate counts as slow; infinite for no hedge.
        first_content_s: seconds any candidate of a stream has for its first content before the next is started.
        rescue_rejected: the next candidate is asked when a model calls the request invalid.
        rescue_content: the next candidate is asked when a model rejects the request for its content.
        rescue_withheld: the next candidate is asked when a content filter withheld the answer.
        waits: where no candidate can take the request yet and one will soon, the request waits for that one.
        jitter: a draw in [0, 1) that spreads retries.

    Raises:
        ValueError: the same model stands twice in one tier, a candidate is out of the order primary, backup, or the
            jitter is out of its range.
    """

    candidates: tuple[Candidate, ...]
    deadline: Deadline
    retry: RetryPolicy = DEFAULT_RETRY
    hedge_after_s: float = math.inf
    first_content_s: float = math.inf
    rescue_rejected: bool = False
    rescue_content: bool = False
    rescue_withheld: bool = False
    waits: bool = True
    jitter: float = 0.5

    def __post_init__(self) -> None:
        _by_tier(self.candidates)
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter is at least 0 and below 1")

    @property
    def primaries(self) -> tuple[Candidate, ...]:
        """The candidates of the primary tier."""
        return _by_tier(self.candidates)[0]

    @property
    def backups(self) -> tuple[Candidate, ...]:
        """The candidates of the backup tier."""
        return _by_tier(self.candidates)[1]

    def of(self, tier: Tier) -> tuple[Candidate, ...]:
        """The candidates of `tier`."""
        return self.primaries if tier is Tier.PRIMARY else self.backups

    def is_rescued(self, candidate: Candidate, outcome: Outcome | Finished) -> bool:
        """Return whether the policy has the next candidate asked where this outcome would have been the caller's."""
        match outcome:
            case Answered(finish_reason=reason):
                return self.rescue_withheld and reason == CONTENT_FILTER
            case Rejected(elsewhere=False, content=content) if candidate == self.candidates[0]:
                return self.rescue_content if content else self.rescue_rejected
            case _:
                return False

    def per_try_end(self, candidate: Candidate, started: float) -> float:
        """Return when the per-try timeout of `candidate`, first asked at `started`, is over; its retries share it.

        What is left of the tier's time is divided evenly among `candidate` and those behind it in the tier.
        """
        peers = self.of(candidate.tier)
        left = len(peers) - peers.index(candidate)
        tier_end = self._tier_end(candidate.tier, started)
        # The last one gets the tier's end itself: `started + (tier_end - started)` can differ from it by an ulp.
        end = tier_end if left == 1 else min(tier_end, started + (tier_end - started) / left)
        return min(end, started + self._longest_try_s)

    def fair_s(self, tier: Tier) -> float:
        """Return the seconds that an attempt must have had to be charged with a time-out: see `trace.FAIR_SHARE`."""
        begins = self.deadline.start
        if tier is Tier.BACKUP and self.primaries:
            begins = self.deadline.cut_over
        even = (self._tier_end(tier, begins) - begins) / len(self.of(tier))
        return FAIR_SHARE * min(even, self._longest_try_s)

    def _tier_end(self, tier: Tier, started: float) -> float:
        """Return when the time of `tier` is over, for an attempt started at `started`.

        Where a backup follows, the primary tier has until the cut-over. A primary that is started after the cut-over
        (the event loop was held up) has until `answer_by`, like the backups.
        """
        followed = tier is Tier.PRIMARY and started < self.deadline.cut_over and bool(self.backups)
        return self.deadline.cut_over if followed else self.deadline.answer_by

    @property
    def _longest_try_s(self) -> float:
        """The longest per-try timeout, in seconds: that of a stream ends its wait for first content; else infinite."""
        if math.isinf(self.first_content_s):
            return math.inf
        return min(self.first_content_s, FIRST_CONTENT_SHARE * self.deadline.seconds)


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
