"""Latencies of models, and when the next candidate is started beside a slow one.

Hedging is Dean and Barroso's ("The Tail at Scale", 2013): a second attempt is made once the first has taken longer than
nearly all others did. Their second attempt goes to a server like the first; ours goes to the next candidate, which may
be much slower than the model. So the hedge also waits until the model has taken as long as that one usually takes:
before that, the model will most likely answer first, and the work of the other is wasted.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.policy.deadline import ReservePolicy
from deployments.policy.knob import Knobs, knob, share
from deployments.policy.outcome import Answered, written_tokens
from deployments.policy.quantile import MAX_KEYS, WindowedQuantile
from deployments.policy.silence import SHORT_PROMPT, Patience, SilencePolicy, patience_for_stream, patience_for_whole
from deployments.policy.terms import Terms

_MIN_BACKUP_SAMPLES = 5
"""Answers of the backup, or of the next candidate, that are needed before its latency is believed."""

_OVERDUE_S = 1.0
"""Seconds after which an attempt counts as overdue on a model with too few measured latencies."""

_MIN_OVERDUE_S = 0.25
"""Seconds before which no attempt is overdue, however fast its model is: a replica of the backup takes seconds to
start, so demand that lasts shorter is no reason to start one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgingPolicy(Knobs):
    """Starting the next candidate beside a model that takes longer than it usually does."""

    enabled: bool = knob(True, "Start the next candidate beside a model that takes longer than it usually does.")
    quantile: float = share(
        0.95,
        "A model counts as slow beyond this quantile of its own latency and beyond the next candidate's median.",
    )
    min_samples: int = knob(20, "Answers of a model that are needed before its quantile is used.", ge=1)
    budget_share: float = share(0.05, "Hedges may be this share of the requests.")


@dataclass(slots=True)
class _Seen:
    """What was seen of the last answers of one model, streamed or whole.

    Attributes:
        seconds: their latencies.
        prompt_sizes: how much there was to read for each of them.
        token_s: the seconds that each token took, of whole answers whose tokens are known.
    """

    seconds: WindowedQuantile = field(default_factory=WindowedQuantile)
    prompt_sizes: WindowedQuantile = field(default_factory=WindowedQuantile)
    token_s: WindowedQuantile = field(default_factory=WindowedQuantile)


class LatencyEstimator:
    """Recent latencies of each model. Those of streams last until the first content, and are kept apart.

    Those of the `MAX_KEYS` models that answered last are remembered.

    Attributes:
        policy: the rules by which a model counts as slow; may be replaced at any time.
        reserves: the bounds of the backup's reserve; may be replaced at any time.
    """

    def __init__(self, policy: HedgingPolicy, reserves: ReservePolicy) -> None:
        """Start without any observation."""
        self.policy = policy
        self.reserves = reserves
        self._seen: OrderedDict[tuple[str, bool], _Seen] = OrderedDict()

    def add(self, model: str, seconds: float, terms: Terms, answer: Answered | None = None) -> None:
        """Add an answer of `model` within `terms` that took `seconds`; `answer` where it is there as a whole."""
        key = (model, terms.streamed)
        if (seen := self._seen.get(key)) is None:
            seen = self._seen[key] = _Seen()
            if len(self._seen) > MAX_KEYS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        seen.seconds.add(seconds)
        seen.prompt_sizes.add(terms.prompt_size)
        if not terms.streamed and answer is not None and (tokens := written_tokens(answer)):
            seen.token_s.add(seconds / tokens)

    def hedge_after_s(self, model: str, beside: str, *, streamed: bool) -> float:
        """Return the seconds after which the candidate `beside` is started beside `model`.

        Infinite where hedging is off, or `model` has fewer than `min_samples` latencies.
        """
        seen = self._seconds_of(model, streamed=streamed)
        if not self.policy.enabled or seen.count < self.policy.min_samples:
            return math.inf
        behind = self._seconds_of(beside, streamed=streamed)
        beside_s = behind.value(0.5) if behind.count >= _MIN_BACKUP_SAMPLES else self.reserves.backup_min_seconds
        return max(seen.value(self.policy.quantile), beside_s)

    def patience(self, model: str, policy: SilencePolicy, terms: Terms, *, suspected: bool) -> Patience:
        """Return for how long an attempt on `model` may be silent; see `silence`."""
        seen = self._seen.get((model, terms.streamed))
        if seen is None:
            return Patience()
        ratio = terms.prompt_size / max(SHORT_PROMPT, seen.prompt_sizes.value(1.0))
        if terms.streamed:
            return patience_for_stream(policy, seen.seconds, suspected=suspected).for_prompt(ratio)
        patience = patience_for_whole(policy, seen.seconds, seen.token_s, terms.max_tokens, suspected=suspected)
        return patience.for_prompt(ratio)

    def reserve_s(self, backup: str, *, streamed: bool) -> float:
        """Return the seconds of a deadline that are kept for `backup`: the most that is allowed until it is known."""
        seen = self._seconds_of(backup, streamed=streamed)
        if seen.count < _MIN_BACKUP_SAMPLES:
            return self.reserves.backup_max_seconds
        usual = seen.value(self.reserves.backup_quantile)
        return min(self.reserves.backup_max_seconds, max(self.reserves.backup_min_seconds, usual))

    def overdue_s(self, model: str, *, streamed: bool) -> float:
        """Return the seconds after which an attempt on `model` will most likely be answered by the backup."""
        seen = self._seconds_of(model, streamed=streamed)
        believed = seen.count >= self.policy.min_samples
        return max(_MIN_OVERDUE_S, seen.value(self.policy.quantile)) if believed else _OVERDUE_S

    def median_s(self, model: str) -> float:
        """Return the median latency of whole answers of `model`, in seconds; 0 if there are none."""
        seen = self._seconds_of(model, streamed=False)
        return seen.value(0.5) if seen.count else 0.0

    def describe(self, model: str) -> Mapping[str, float]:
        """Return the 50th and 95th percentile of `model` in seconds, as far as they are known, for `/status`."""
        facts: dict[str, float] = {}
        for streamed, prefix in ((False, ""), (True, "first_content_")):
            seen = self._seconds_of(model, streamed=streamed)
            if seen.count:
                facts[f"{prefix}p50_s"], facts[f"{prefix}p95_s"] = seen.value(0.5), seen.value(0.95)
        return facts

    def _seconds_of(self, model: str, *, streamed: bool) -> WindowedQuantile:
        seen = self._seen.get((model, streamed))
        return _NOTHING if seen is None else seen.seconds


_NOTHING = WindowedQuantile()
