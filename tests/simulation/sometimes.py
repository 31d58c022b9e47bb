"""The rare states. A run of many seeds fails unless each of them was reached: what never happens was not tried."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from deployments.policy.next_step import PROBE_GRACE_S
from tests.simulation.asking import RESPONSES
from tests.simulation.client import Exchange
from tests.simulation.invariants import answers, turned_away, whole
from tests.simulation.record import Call
from tests.simulation.told import Told
from tests.simulation.world import Run

Attempt = Mapping[str, Any]

REASONED_S = 10.5
"""A model that is silent for so long has somebody started beside it, by the default policy."""

SEVERAL = 5
"""Failures in a row that open a breaker, by the default policy."""


def reached(run: Run) -> set[str]:
    """The states that a run has reached."""
    read = list(answers(run))
    return {name for name, has in IN_ANSWERS.items() if any(has(done, told) for done, told in read)} | {
        name for name, has in IN_RUNS.items() if has(run)
    }


def every() -> frozenset[str]:
    """All of them."""
    return frozenset(IN_ANSWERS) | frozenset(IN_RUNS)


def _with(why: str, told: Told) -> list[Attempt]:
    return [attempt for attempt in told.attempts if attempt["why"] == why]


def _won_by(why: str, told: Told) -> bool:
    return any(each["outcome"] == "answered" and each["model"] == told.model for each in _with(why, told))


def _written(told: Told) -> list[Attempt]:
    """The attempts of which a part stands in a streamed answer."""
    return [attempt for attempt in told.attempts if "from_character" in attempt]


IN_ANSWERS: dict[str, Callable[[Exchange, Told], bool]] = {
    "a hedge that won": lambda _, told: _won_by("hedge", told),
    "a hedge that lost": lambda _, told: any(each["outcome"] == "cancelled" for each in _with("hedge", told)),
    "a probe that lost by less than its grace, and was preferred": lambda _, told: any(
        each["outcome"] == "answered" and told.served_by == "primary" for each in _with("beside_probe", told)
    ),
    "a probe that lost": lambda _, told: _won_by("beside_probe", told),
    "a failover that won": lambda _, told: _won_by("failover", told),
    "a stream handed on for its crawling": lambda _, told: any(
        "writes far slower" in each["reason"] for each in _written(told)
    ),
    "a model that reasoned for long, and answered": lambda done, told: (
        done.ask.stream
        and len(told.attempts) == 1
        and not told.is_last_resort
        and b'"fallback":false' not in done.ask.body
        and done.chunks[0][0] - done.started > REASONED_S
    ),
    "a backup at the cut-over": lambda _, told: _won_by("cut_over", told),
    "a retry that won": lambda _, told: _won_by("retry", told),
    "a model that was waited for": lambda _, told: _won_by("ready", told),
    "a stream continued once": lambda _, told: len(_written(told)) == 2,
    "a stream continued twice": lambda _, told: len(_written(told)) >= 3 and not told.is_last_resort,
    "a stream continued by the same model": lambda _, told: any(
        before["model"] == after["model"] for before, after in pairwise(_written(told))
    ),
    "a last resort in mid-stream": lambda _, told: told.is_last_resort and bool(_written(told)),
    "a last resort at the deadline": lambda done, told: (
        told.is_last_resort and (done.ended or 0) - done.started > 0.7 * done.ask.timeout_s
    ),
    "a stall": lambda _, told: any(each["outcome"] == "timed_out" for each in _written(told)),
    "a shed request": lambda done, _: turned_away(done),
    "a shed stream": lambda done, told: turned_away(done) and bool(told.writers),
    "a breaker that was open": lambda _, told: any(each["reason"] == "breaker open" for each in told.attempts),
    "a limit that was reached": lambda _, told: any("at its limit" in each["reason"] for each in told.attempts),
    "an answer that did not fit its form": lambda _, told: any(
        "fit response_format" in a["reason"] for a in told.attempts
    ),
    "a refusal in the words of the format": lambda _, told: told.refusal,
    "an answer in the form that was demanded": lambda done, told: bool(done.ask.form) and not told.refusal,
    "a content filter": lambda _, told: told.finish_reason == "content_filter",
    "a withheld answer that was rescued": lambda _, told: (
        not told.is_last_resort and any(each["outcome"] == "withheld" for each in told.attempts)
    ),
    "a last resort of 503": lambda done, told: told.is_last_resort and done.status == 503,
    "several prompts": lambda done, _: done.ask.prompts > 1 and not done.ask.stream,
    "several prompts in one stream": lambda done, _: done.ask.prompts > 1 and done.ask.stream,
    "a response that was continued": lambda done, told: done.ask.style == RESPONSES and len(_written(told)) > 1,
    "an answer long after its request": lambda done, _: (done.ended or 0) - done.started > 25.0,
}


def _after_retry_after(run: Run) -> bool:
    return any(
        before.transient and 0 < before.retry_after_s <= after.started - (before.ended or 0) + 1e-6
        for done, told in answers(run)
        if _with("retry", told)
        for before, after in _repeats(run, done)
    )


def _repeats(run: Run, done: Exchange) -> Iterator[tuple[Call, Call]]:
    calls = run.record.of(done.ask.tokens[0])
    yield from ((before, after) for before, after in pairwise(calls) if before.model == after.model)


def _budget_exhausted(run: Run) -> bool:
    """A transient failure was not repeated, as no retry was left at that moment."""
    empty = {now for now, retry in run.allowances if not retry}
    return any(call.transient and call.ended in empty for call in run.record.calls)


def _close_probe(run: Run) -> bool:
    """A probe that lost came to its answer hardly behind the end of its grace, on its own."""
    return any(
        call.model == probed and call.outcome == "answered" and ended < (call.ended or 0) < ended + 5 * PROBE_GRACE_S
        for done, told in answers(run)
        if _won_by("beside_probe", told)
        for ended, probed in [(done.ended or 0.0, _before("beside_probe", told)["model"])]
        for call in run.record.of(done.ask.tokens[0])
    )


def _before(why: str, told: Told) -> Attempt:
    """The attempt beside which the first for that reason was started."""
    return told.attempts[next(place for place, each in enumerate(told.attempts) if each["why"] == why) - 1]


def _after_all(run: Run) -> bool:
    """A model that was silent for so long that another one was asked came to its answer behind that one's."""
    return any(
        call.model == "a" and call.outcome == "answered" and (call.ended or 0) > (done.ended or 0)
        for done, told in answers(run)
        if _won_by("failover", told)
        for call in run.record.of(done.ask.tokens[0])
    )


def _burst_that_counted_once(run: Run) -> bool:
    """As many attempts as open a breaker failed at the same time, and it did not open for them."""
    failed = [call for call in run.record.calls if call.model == "a" and call.outcome == "failed" and call.ended]
    together = [call for call in failed if call.started < (failed[0].ended or 0) < (call.ended or 0) <= 1.0]
    return len(together) >= SEVERAL and not _logs("breaker_changed", model="a", after="open")(run)


def _calls_behind_white_space(run: Run) -> bool:
    return any(
        call.outcome == "answered" and "".join(call.texts).isspace()
        for done, told in answers(run)
        if done.ask.stream and told.tool_calls
        for call in run.record.of(done.ask.token)
    )


def _during(run: Run, what: str) -> bool:
    moments = [at for at, event, _ in run.record.events if event == what]
    return any(done.started < at < (done.ended or 0) for done in whole(run) for at in moments)


def _logs(event: str, **fields: str) -> Callable[[Run], bool]:
    return lambda run: any(logged == event and fields.items() <= told.items() for _, logged, told in run.logged)


def _deaths(run: Run, *, streamed: bool) -> Iterator[tuple[Exchange, Told]]:
    """The answers behind a replica that died under a call: of a stream, one that had given a part of it."""
    yield from (
        (done, told)
        for done, told in answers(run)
        if not told.is_last_resort
        and any(call.died and bool(call.texts) is streamed for call in run.record.of(done.ask.tokens[0]))
    )


IN_RUNS: dict[str, Callable[[Run], bool]] = {
    "an answer though a replica died under its call": lambda run: any(_deaths(run, streamed=False)),
    "a stream that went on though its replica died": lambda run: any(
        len(_written(told)) > 1 for _, told in _deaths(run, streamed=True)
    ),
    "a retry after `retry-after`": _after_retry_after,
    "an answer that came after all": _after_all,
    "a burst that counted once": _burst_that_counted_once,
    "a budget exhausted": _budget_exhausted,
    "a streamed tool call behind white space": _calls_behind_white_space,
    "a losing probe that came to its own end": _close_probe,
    "a breaker that opened": _logs("breaker_changed", after="open"),
    "a breaker that opened again": _logs("breaker_changed", before="halfopen", after="open"),
    "a breaker that closed": _logs("breaker_changed", before="halfopen", after="closed"),
    "a caller that raised": _logs("internal_error"),
    "a task of the background that ended": _logs("task_ended"),
    "a model that vanished": _logs("model_gone"),
    "a look at Serve that failed": _logs("discovery_failed"),
    "an event of an upstream that was skipped": _logs("upstream_event_skipped"),
    "an upstream that only its operator can mend": _logs("upstream_misconfigured"),
    "a policy that was refused": lambda run: run.record.has("policy refused"),
    "a policy that changed under a request": lambda run: _during(run, "reconfigure"),
    "a loop that was held up under a request": lambda run: _during(run, "jump"),
    "a demand that was told to the backup": lambda run: run.record.has("demand"),
    "a caller that left": lambda run: any(done.left is not None for done in run.exchanges),
    "a caller that left in mid-stream": lambda run: any(done.left and done.chunks for done in run.exchanges),
    "a request that was handed back by its model": lambda run: any(
        done.status == 400 and done.ask.valid for done in whole(run)
    ),
    "a body that came too late": lambda run: any(done.status == 408 for done in whole(run)),
    "a request that nobody can read": lambda run: any(not done.ask.valid and done.status == 400 for done in whole(run)),
}
