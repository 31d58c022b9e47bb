"""How long models usually take, and what follows from it: who is slow, and when the backup is started beside them.

Hedging is Dean and Barroso's ("The Tail at Scale", 2013): a second attempt once the first has taken longer than nearly
all others did. Theirs goes to a server like the first; ours goes to a backup that may be much slower than the model.
So the model also has to have taken as long as the backup usually does: before that, it will most likely be there first,
and the backup has worked for nothing.
"""

import math
from collections.abc import Mapping

from msgspec import Struct

from deployments.policy.quantile import Latencies

_FEW = 5
"""Answers of the backup before its latency is believed."""

_OVERDUE_S = 1.0
"""Seconds after which an attempt on a model of which too little is known counts as overdue."""

_OVERDUE_LEAST_S = 0.25
"""The least that counts as overdue, however fast a model is: a replica takes seconds to start."""


class HedgingPolicy(Struct, frozen=True):
    """What counts as slow.

    Attributes:
        hedging: whether the backup is started beside slow models.
        quantile: of a model's latency, beyond which it counts as slow.
        min_samples: answers before that is believed.
        reserve_min_s: seconds of a deadline kept for the backup at the least.
        reserve_max_s: at the most, and while nothing is known.
        reserve_quantile: of the backup's latency, that is followed in between.
    """

    hedging: bool = True
    quantile: float = 0.95
    min_samples: int = 20
    reserve_min_s: float = 1.0
    reserve_max_s: float = 10.0
    reserve_quantile: float = 0.95


class LatencyEstimator:
    """What has been seen of late. Of streams, seconds until their first content, apart from those of whole answers.

    Attributes:
        policy: what counts as slow; a new one is taken over in place.
    """

    def __init__(self, policy: HedgingPolicy) -> None:
        """Know nothing yet."""
        self.policy = policy
        self._seen = Latencies()

    def add(self, model: str, seconds: float, *, streamed: bool) -> None:
        """`model` has answered after `seconds`."""
        self._seen.add(model, seconds, streamed=streamed)

    def hedge_after_s(self, model: str, backup: str, *, streamed: bool) -> float:
        """Seconds after which `backup` is started beside `model`; infinite where that cannot be said."""
        seen = self._seen.of(model, streamed=streamed)
        if not self.policy.hedging or seen.count < self.policy.min_samples:
            return math.inf
        behind = self._seen.of(backup, streamed=streamed)
        backup_s = behind.value(0.5) if behind.count >= _FEW else self.policy.reserve_min_s
        return max(seen.value(self.policy.quantile), backup_s)

    def reserve_s(self, backup: str, *, streamed: bool) -> float:
        """Seconds of a deadline to be kept for `backup`."""
        seen = self._seen.of(backup, streamed=streamed)
        if seen.count < _FEW:
            return self.policy.reserve_max_s
        usual = seen.value(self.policy.reserve_quantile)
        return min(self.policy.reserve_max_s, max(self.policy.reserve_min_s, usual))

    def overdue_s(self, model: str, *, streamed: bool) -> float:
        """Seconds after which an attempt on `model` will most likely be rescued by the backup."""
        seen = self._seen.of(model, streamed=streamed)
        believed = seen.count >= self.policy.min_samples
        return max(_OVERDUE_LEAST_S, seen.value(self.policy.quantile)) if believed else _OVERDUE_S

    def median_s(self, model: str) -> float:
        """What half of the answers of `model` took at the most; 0 where there were none."""
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
