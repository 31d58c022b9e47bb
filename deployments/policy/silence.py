"""When a silence speaks against a model: judged by what the model usually takes, not by what its caller allows.

A time-out that is set by hand fits no model: it is an age for one that answers in 0.2 seconds, and too short for one
that reasons. So the measure is the model's own, as in accrual failure detectors (Hayashibara et al., 2004): an attempt
that is silent for several times the 99th percentile of its model's latency has most likely been lost. Nothing is given
up for it: the next candidate is started beside it, and an answer that comes after all takes the evidence back.

A model that has been silent once, and has answered nobody since, is suspected. From then on nobody waits for it: the
next candidate is started beside it at once. And its 99th percentile alone makes a silence: two attempts in a row that
are slower than 99 of 100 are as telling as one that is much slower. Its next answer clears it.

A whole answer comes all at once, so that a model which writes a long one is as silent as one that is lost. There the
silence is reason enough to ask somebody else, but a failure only once it is far longer than what was asked can take:
`max_tokens`, at the pace at which the model usually writes. Where the caller sets no bound, nothing but the deadline
tells: see `FallbackChain.usual_fair_s`.

A prompt that is longer than the longest one that a model has answered lately takes longer to read: the patience grows
in proportion, where it is longer than `SHORT_PROMPT`, too. See `ModelState.without_long_prompts` for the time-outs of
such prompts.
"""

import math
from dataclasses import dataclass

from msgspec import Struct

from deployments.policy.knob import Knobs, knob, seconds
from deployments.policy.quantile import WindowedQuantile

QUANTILE = 0.99

SHORT_PROMPT = 1000
"""Characters of a prompt whose reading takes hardly any time beside the rest: a question of a line is no hundred times
the work of a greeting, and a model that is greeted every few seconds must not be waited for a hundred times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilencePolicy(Knobs):
    """Judging the silence of a model by its own history, and asking the next candidate beside it."""

    enabled: bool = knob(True, "Judge the silence of an attempt by what its model usually takes.")
    factor: float = knob(
        2.5,
        "An attempt that is silent for this many times the 99th percentile of its model's latency counts against the "
        "model, and the next candidate is started beside it. A whole text counts against it only after this many times "
        "what `max_tokens` usually take it.",
        ge=1,
        le=1000,
    )
    least_seconds: float = seconds(0.5, "No silence that is shorter counts, however fast the model is.")
    min_samples: int = knob(20, "Answers of a model that are needed before its silences are judged.", ge=1)


class Patience(Struct, frozen=True):
    """How long an attempt may be silent; infinite where too little is known.

    Attributes:
        silent_s: seconds of silence after which it counts as silent, so that somebody else is asked.
        failed_s: seconds of silence after which that is a failure of its model; at least `silent_s`.
        prompt_ratio: the length of the prompt, measured by the longest that the model has answered lately, or by
            `SHORT_PROMPT`; at least 1.
    """

    silent_s: float = math.inf
    failed_s: float = math.inf
    prompt_ratio: float = 1.0

    def for_prompt(self, ratio: float) -> "Patience":
        """Return the patience with a prompt that is so many times longer than the longest answered one.

        The time to the first token grows with what has to be read, in proportion or faster.
        """
        return Patience(ratio * self.silent_s, ratio * self.failed_s, ratio) if ratio > 1.0 else self


def patience_for_stream(policy: SilencePolicy, seen: WindowedQuantile, *, suspected: bool) -> Patience:
    """Return the patience with a stream, of which each item is a sign of life.

    Args:
        policy: the factor and its bounds.
        seen: the latencies of the model. The largest is left out: it is most likely the first call of a cold model.
        suspected: the model has been silent before, and has answered nobody since.
    """
    if not policy.enabled or seen.count < policy.min_samples:
        return Patience()
    seconds = max(policy.least_seconds, seen.value(QUANTILE, spare=1) * (1.0 if suspected else policy.factor))
    return Patience(seconds, seconds)


def patience_for_whole(
    policy: SilencePolicy,
    seen: WindowedQuantile,
    token_s: WindowedQuantile,
    max_tokens: int | None,
    *,
    suspected: bool,
) -> Patience:
    """Return the patience with a whole answer, which gives no sign of life while it is written.

    Args:
        policy: as above.
        seen: as above.
        token_s: the seconds that the model took for each token of its whole answers; empty where it writes no texts.
            The time until the first token is in there, so that the median is no faster than the model writes.
        max_tokens: the longest answer that the caller lets it write; `None` for any length.
        suspected: as above.
    """
    patience = patience_for_stream(policy, seen, suspected=suspected)
    if not token_s.count or math.isinf(patience.silent_s):
        return patience
    if max_tokens is None:
        return Patience(patience.silent_s)
    takes_s = token_s.value(0.5) * max_tokens
    if takes_s <= seen.value(QUANTILE, spare=1):  # it has written as much before
        return patience
    return Patience(patience.silent_s, max(patience.failed_s, policy.factor * takes_s))
