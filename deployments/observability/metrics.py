"""Counts what a process does. `ray_serve.metrics` takes the counts every second, and exports them.

Memory is bounded. Callers choose names of models freely, so a name that nobody serves is counted as `unknown`. Where
the counts are no longer taken, the oldest durations are dropped.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deployments.observability import metric_table as table
from deployments.observability.key_metrics import drain_keys
from deployments.observability.metric_table import Metric
from deployments.observability.spans import drain_spans
from deployments.policy.answer import Answer
from deployments.policy.attempt import Ended, Why

MAX_DURATIONS = 10_000
"""Durations that are kept until they are taken: those of one second at five times the highest measured load."""

UNKNOWN = "unknown"
"""The label of a model that nobody serves."""

Labels = tuple[str, ...]
Known = Callable[[str], bool]
"""Returns whether somebody serves a model of that name."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts since counts were last taken.

    Attributes:
        counted: for each counter, and the values of its labels, what is to be added.
        durations: seconds that were measured, with their histogram and the values of its labels.
    """

    counted: Mapping[tuple[Metric, Labels], float]
    durations: Sequence[tuple[Metric, Labels, float]]


# Counting here takes a tenth of the time of one of Ray's counters, and a twentieth on the request path, where
# the caches are cold for Ray's code. A metric is told by its identity: to hash its name each time costs more.
_answers: Counter[Labels] = Counter()
_attempts: Counter[Labels] = Counter()
_switches: Counter[Labels] = Counter()
_tokens: Counter[Labels] = Counter()
_late: Counter[Labels] = Counter()
_breakers: Counter[Labels] = Counter()
_snapshots: Counter[Labels] = Counter()
_plain: Counter[Metric] = Counter()
_abandoned_seconds = [0.0]
_durations: deque[tuple[Metric, Labels, float]] = deque(maxlen=MAX_DURATIONS)

_COUNTED = (
    (table.ANSWERS, _answers),
    (table.ATTEMPTS, _attempts),
    (table.SWITCHES, _switches),
    (table.TOKENS, _tokens),
    (table.LATE_ANSWERS, _late),
    (table.BREAKER_CHANGES, _breakers),
    (table.SNAPSHOTS, _snapshots),
)


def answered(answer: Answer, seconds: float, known: Known, deadline_s: float) -> None:
    """Count an answer that was given, `seconds` after its request had arrived, and its attempts.

    Args:
        answer: the answer.
        seconds: from the arrival of its request until it was complete.
        known: tells which names of models may be labels.
        deadline_s: the deadline of a whole answer; infinite for a stream, whose first content alone has one.
    """
    tier = answer.served_by
    _answers[tier, answer.model, "true" if answer.degraded else "false"] += 1
    _measured(table.ANSWER_SECONDS, (tier,), seconds)
    if seconds > deadline_s:
        _late[(tier,)] += 1
    if (usage := answer.usage) is not None:
        _tokens[answer.model, "input"] += usage.prompt_tokens
        _tokens[answer.model, "output"] += usage.completion_tokens
    before: Ended | None = None
    for attempt in answer.attempts:
        model = _label(attempt.candidate.model, known)
        _attempts[model, attempt.name, attempt.why] += 1
        if before is not None:
            reason = before.name if attempt.why is Why.NEXT else attempt.why
            _switches[_label(before.candidate.model, known), model, reason] += 1
        before = attempt


def first_token(tier: str, model: str, seconds: float, deadline_s: float) -> None:
    """Count a stream whose first content is there, `seconds` after its request had arrived."""
    _measured(table.FIRST_TOKEN_SECONDS, (tier, model), seconds)
    if seconds > deadline_s:
        _late[(tier,)] += 1


def turned_away() -> None:
    """Count a request that was answered unread."""
    _plain[table.TURNED_AWAY] += 1


def abandoned(seconds: float) -> None:
    """Count a request whose caller left `seconds` after it had arrived, unanswered."""
    _plain[table.ABANDONED] += 1
    _abandoned_seconds[0] += seconds


def breaker_moved(model: str, state: str) -> None:
    """Count a breaker that is in a new state. Names that nobody serves have none for long: they are refused."""
    _breakers[model, state] += 1


def snapshot(event: str) -> None:
    """Count what has become of a snapshot: `loaded`, `built`, `set_aside`, `not_kept`."""
    _snapshots[(event,)] += 1


def drain_counts() -> Counts:
    """Return the counts, and begin again at zero."""
    # One key after the other: threads that load models count snapshots meanwhile.
    counted: dict[tuple[Metric, Labels], float] = {
        (metric, labels): count
        for metric, counts in _COUNTED
        for labels in list(counts)
        if (count := counts.pop(labels))
    }
    counted |= {(table.SPANS, (outcome,)): count for outcome, count in drain_spans().items() if count}
    counted |= drain_keys()
    counted |= {(metric, ()): count for metric, count in _plain.items()}
    if table.ABANDONED in _plain:
        counted[table.ABANDONED_SECONDS, ()] = _abandoned_seconds[0]
    drained = Counts(counted, tuple(_durations))
    _plain.clear()
    _durations.clear()
    _abandoned_seconds[0] = 0.0
    return drained


def _measured(metric: Metric, labels: Labels, seconds: float) -> None:
    if len(_durations) == MAX_DURATIONS:
        _plain[table.WITHOUT_TIME] += 1
    _durations.append((metric, labels, seconds))


def _label(model: str, known: Known) -> str:
    return model if known(model) else UNKNOWN
