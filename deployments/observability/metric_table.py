"""Every metric of the service, in one table. What is counted, exported, and told in docs/metrics.md is made from it.

No label has a value that a caller chose: a model that nobody serves is `unknown`, a key that does not exist `(none)`.
So a metric has as many series in a process as there are models, or keys up to a bound, times its other labels, whose
values are those of a closed list.
"""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """The kinds of metrics, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """One metric.

    Attributes:
        name: the name; Ray exports it with the prefix `ray_`.
        kind: what it does over time.
        meaning: what it tells.
        labels: the names of its labels, in the order in which their values are given.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, meaning, labels)


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""The upper bounds of the buckets of every histogram."""

ANSWERS = _counter("neverblank_answers_total", "Answers given.", "served_by", "model", "degraded")
ANSWER_SECONDS = Metric(
    "neverblank_answer_seconds", Kind.HISTOGRAM, "Seconds until an answer was complete.", ("served_by",)
)
FIRST_TOKEN_SECONDS = Metric(
    "neverblank_first_token_seconds", Kind.HISTOGRAM, "Seconds until the first content of a stream.",
    ("served_by", "model"),
)  # fmt: skip
WITHOUT_TIME = _counter(
    "neverblank_answers_without_time_total", "Times that the histograms lack, as the export was late."
)
LATE_ANSWERS = _counter("neverblank_late_answers_total", "Answers that came after their deadline.", "served_by")
TOKENS = _counter("neverblank_tokens_total", "Tokens of answers, where they are counted.", "model", "type")
ATTEMPTS = _counter("neverblank_attempts_total", "Attempts made.", "model", "outcome", "why")
SWITCHES = _counter(
    "neverblank_switches_total",
    "Attempts behind the first of a request: from which model to which, and for what: the outcome of the one before, or"
    " the reason for which one was started beside it.",
    "from_model", "to_model", "reason",
)  # fmt: skip
TURNED_AWAY = _counter("neverblank_turned_away_total", "Requests answered unread, as there were too many.")
ABANDONED = _counter("neverblank_abandoned_total", "Requests whose callers left before they were answered.")
ABANDONED_SECONDS = _counter("neverblank_abandoned_seconds_total", "Seconds spent on requests whose callers left.")
BREAKER_CHANGES = _counter("neverblank_breaker_changes_total", "Changes of a breaker, by its new state.", "model", "to")

BREAKER_STATE = _gauge("neverblank_breaker_state", "A router's breaker: 0 closed, 1 half-open, 2 open.", "model")
MODEL_READY = _gauge("neverblank_model_ready", "1 where a router would ask the model, else 0.", "model")
REPLICAS = _gauge("neverblank_replicas", "Replicas as a router counts them: running, starting.", "model", "state")
ATTEMPTS_IN_FLIGHT = _gauge("neverblank_attempts_in_flight", "Attempts of a router under way.", "model")
ATTEMPT_LIMIT = _gauge("neverblank_attempt_limit", "The adaptive limit of a router.", "model")
REQUESTS_IN_FLIGHT = _gauge("neverblank_requests_in_flight", "Requests that a router is answering.")
REQUESTS_WAITING = _gauge("neverblank_requests_waiting", "Requests that wait in a router for a model.")
BUDGET_TOKENS = _gauge("neverblank_budget_tokens", "Extra attempts that a router may make: retries, hedges.", "budget")
DISCOVERY_AGE = _gauge("neverblank_discovery_age_seconds", "Seconds since Serve last told a router of the models.")
BACKUP_SOUND = _gauge("neverblank_backup_sound", "0 where the backup did not answer well when it was exercised.")

ENGINE_ACTIVE = _gauge("neverblank_engine_active", "Requests that a replica's engine generates for.", "model")
ENGINE_CAPACITY = _gauge("neverblank_engine_capacity", "Requests that it can generate for at a time.", "model")
SNAPSHOTS = _counter("neverblank_snapshots_total", "Snapshots of weights: loaded, built, set_aside, not_kept.", "event")

KEY_REQUESTS = _counter(
    "neverblank_key_requests_total",
    "Requests of a key: `answered`, `rejected`, `abandoned`, or a refusal's code, such as `rate_limit_exceeded`.",
    "key", "outcome",
)  # fmt: skip
KEY_TOKENS = _counter("neverblank_key_tokens_total", "Tokens that a key was charged for.", "key")
KEY_MONEY = _counter("neverblank_key_money_total", "Money that a key was charged, by `prices`.", "key")
KEY_LIMIT_USED = _gauge(
    "neverblank_key_limit_used_ratio", "How much of a limit a key has used, of 1, as a router knows it of all routers.",
    "key", "limit",
)  # fmt: skip

SPANS = _counter("neverblank_spans_total", "Spans of traces: sent, dropped.", "outcome")

RARE = (
    (ANSWERS, ("last_resort", "last_resort", "true")),
    *((LATE_ANSWERS, (tier,)) for tier in ("primary", "backup", "last_resort")),
    (TURNED_AWAY, ()),
)
"""Series that exist from the start: Prometheus sees no increase in one that begins with its first event."""

METRICS = (
    ANSWERS, ANSWER_SECONDS, FIRST_TOKEN_SECONDS, WITHOUT_TIME, LATE_ANSWERS, TOKENS, ATTEMPTS, SWITCHES, TURNED_AWAY,
    ABANDONED, ABANDONED_SECONDS, BREAKER_CHANGES, BREAKER_STATE, MODEL_READY, REPLICAS, ATTEMPTS_IN_FLIGHT,
    ATTEMPT_LIMIT, REQUESTS_IN_FLIGHT, REQUESTS_WAITING, BUDGET_TOKENS, DISCOVERY_AGE, BACKUP_SOUND, ENGINE_ACTIVE,
    ENGINE_CAPACITY, SNAPSHOTS, KEY_REQUESTS, KEY_TOKENS, KEY_MONEY, KEY_LIMIT_USED, SPANS,
)  # fmt: skip


def metric_reference() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Ray exports them for Prometheus beside Serve's own, with the prefix `ray_`, and labels that tell node and",
        "process (`NodeAddress`, `WorkerId`). Each router and each replica counts for itself: sum over processes.",
        "This page is made by `python -m deployments.observability.metric_table`, from the table that is exported by.",
        "",
        "A model that nobody serves is `unknown`, so that callers make up no series. A key is called by its name in",
        "the file of keys; a request without a valid one counts as `(none)`, a name beyond the first 200 as `(other)`.",
        "Requests that end in a 4xx are in the metrics of keys alone.",
        "The buckets of histograms end at " + ", ".join(f"{bound:g}" for bound in SECONDS) + " s.",
        "",
        "| metric | kind | labels | |",
        "|---|---|---|---|",
    ]
    for each in METRICS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from pathlib import Path

    (Path(__file__).parents[2] / "docs" / "metrics.md").write_text(metric_reference(), encoding="utf-8")
