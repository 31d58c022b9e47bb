"""How long models usually take, which of them are slow, and when the backup is started beside them.

Hedging is Dean and Barroso's ("The Tail at Scale", 2013): a second attempt once the first has taken longer than nearly
all others did. Theirs goes to a server like the first; ours goes to a backup that may be much slower than the model.
So the model also has to have taken as long as the backup usually does: before that, it will most likely be there first,
and the backup has worked for nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.policy.deadline import ReservePolicy
from deployments.policy.knob import Knobs, knob, share
from deployments.policy.quantile import Latencies

_FEW = 5
"""How many answers of the backup are needed before its latency is believed."""

_OVERDUE_S = 1.0
"""Seconds after which an attempt on a model of which too little is known counts as overdue."""

_OVERDUE_LEAST_S = 0.25
"""No attempt is overdue before that many seconds, however fast its model is: a replica takes seconds to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgingPolicy(Knobs):
    """Starting the backup beside a model that takes longer than it usually does."""

    enabled: bool = knob(True, "Whether that is done.")
    quantile: float = share(
        0.95, "Beyond this quantile of its own latency, and the backup's usual one, a model counts as slow."
    )
    min_samples: int = knob(20, "Answers of a model before its quantile is believed.", ge=1)
    budget_share: float = share(0.05, "Hedges may be this share of the requests.")


class LatencyEstimator:
    """Latencies of the last answers of each model; those of streams count until the first content, and are kept apart.

    Attributes:
        policy: when a model counts as slow; may be replaced at any time.
        reserves: the bounds of the reserve of the backup; may be replaced at any time.
    """

    def __init__(self, policy: HedgingPolicy, reserves: ReservePolicy) -> None:
        """Start without any observation."""
        self.policy = policy
        self.reserves = reserves
        self._seen = Latencies()

    def add(self, model: str, seconds: float, *, streamed: bool) -> None:
        """`model` has answered after `seconds`."""
        self._seen.add(model, seconds, streamed=streamed)

    def hedge_after_s(self, model: str, backup: str, *, streamed: bool) -> float:
        """Seconds after which `backup` is started beside `model`; infinite for never, or if too little is known."""
        seen = self._seen.of(model, streamed=streamed)
        if not self.policy.enabled or seen.count < self.policy.min_samples:
            return math.inf
        behind = self._seen.of(backup, streamed=streamed)
        backup_s = behind.value(0.5) if behind.count >= _FEW else self.reserves.backup_min_seconds
        return max(seen.value(self.policy.quantile), backup_s)

    def reserve_s(self, backup: str, *, streamed: bool) -> float:
        """Seconds of a deadline that are kept for `backup`."""
        seen = self._seen.of(backup, streamed=streamed)
        if seen.count < _FEW:
            return self.reserves.backup_max_seconds
        usual = seen.value(self.reserves.backup_quantile)
        return min(self.reserves.backup_max_seconds, max(self.reserves.backup_min_seconds, usual))

    def overdue_s(self, model: str, *, streamed: bool) -> float:
        """Seconds after which an attempt on `model` will most likely be rescued by the backup."""
        seen = self._seen.of(model, streamed=streamed)
        believed = seen.count >= self.policy.min_samples
        return max(_OVERDUE_LEAST_S, seen.value(self.policy.quantile)) if believed else _OVERDUE_S

    def median_s(self, model: str) -> float:
        """The median latency of the whole answers of `model`, in seconds; 0 if there are none."""
        seen = self._seen.of(model, streamed=False)
        return seen.value(0.5) if seen.count else 0.0

    def describe(self, model: str) -> Mapping[str, float]:
        """For `/status`."""
        facts: dict[str, float] = {}
        for streamed, prefix in ((False, ""), (True, "first_content_")):
            seen = self._seen.of(model, streamed=streamed)
            if seen.count:
                facts[f"{prefix}p50_s"], facts[f"{prefix}p95_s"] = seen.value(0.5), seen.value(0.95)
        return facts
