"""When a silence speaks against a model: judged by what the model usually takes, not by what its caller allows.

A time-out that is set by hand fits no model: it is an age for one that answers in 0.2 seconds, and too short for one
that reasons. So the measure is the model's own, as in accrual failure detectors (Hayashibara et al., 2004): an attempt
that is silent for several times the 99th percentile of its model's latency has most likely been lost. Nothing is given
up for it: the next candidate is started beside it, and an answer that comes after all takes the evidence back.

A model that has been silent once, and has answered nobody since, is suspected. From then on nobody waits for it: the
next candidate is started beside it at once. And its 99th percentile alone makes a silence: two attempts in a row that
are slower than 99 of 100 are as telling as one that is much slower. Its next answer clears it.
"""

import math
from dataclasses import dataclass

from deployments.policy.knob import Knobs, knob, seconds
from deployments.policy.quantile import WindowedQuantile

QUANTILE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class SilencePolicy(Knobs):
    """Judging the silence of a model by its own history, and asking the next candidate beside it."""

    enabled: bool = knob(True, "Judge the silence of an attempt by what its model usually takes.")
    factor: float = knob(
        2.5,
        "An attempt that is silent for this many times the 99th percentile of its model's latency counts against the "
        "model, and the next candidate is started beside it.",
        ge=1,
        le=1000,
    )
    least_seconds: float = seconds(0.5, "No silence that is shorter counts, however fast the model is.")
    min_samples: int = knob(20, "Answers of a model that are needed before its silences are judged.", ge=1)


def patience_s(policy: SilencePolicy, seen: WindowedQuantile, *, suspected: bool) -> float:
    """Return the seconds of silence after which an attempt counts as silent; infinite where too little is known.

    Args:
        policy: the factor and its bounds.
        seen: the latencies of the model. The largest is left out: it is most likely the first call of a cold model.
        suspected: the model has been silent before, and has answered nobody since.
    """
    if not policy.enabled or seen.count < policy.min_samples:
        return math.inf
    return max(policy.least_seconds, seen.value(QUANTILE, spare=1) * (1.0 if suspected else policy.factor))
