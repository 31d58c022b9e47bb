"""What has to be true after every run: named checks, each of which gives a line for every way in which it is not."""

from collections.abc import Callable, Iterator
from itertools import pairwise, repeat

import orjson

from deployments.policy.blank import is_blank
from tests.simulation.asking import Ask
from tests.simulation.client import Exchange
from tests.simulation.happenings import in_force
from tests.simulation.reading import read, read_error
from tests.simulation.record import Call, own_fault
from tests.simulation.told import Told, UnreadableError
from tests.simulation.truth import compared, provenance, wording
from tests.simulation.world import Run

LATE_S = 0.001
"""What is let pass: on virtual time nothing is late, but for rounding."""

SILENT_S = 20.0
"""A stall, and the time within which somebody carries on, by the default policy."""


def faults(run: Run) -> list[str]:
    """Every way in which a run is not as it has to be."""
    return [f"{name}: {fault}" for name, check in CHECKS.items() for fault in check(run)]


def _one_answer(run: Run) -> Iterator[str]:
    if len(run.exchanges) != len(run.world.asks):
        yield f"{len(run.world.asks)} requests, {len(run.exchanges)} ended"
    for done in run.exchanges:
        token = done.ask.token
        if done.raised is not None:
            yield f"{token}: the application raised {done.raised!r}"
        elif done.left is None and (done.starts != 1 or done.ended is None):
            yield f"{token}: {done.starts} responses, ended at {done.ended}"
        elif done.starts > 1 or done.behind:
            yield f"{token}: {done.starts} responses, {done.behind} messages behind the end"


def _status(run: Run) -> Iterator[str]:
    for done in whole(run):
        expected = _statuses(run, done)
        if done.status not in expected:
            yield f"{done.ask.token}: status {done.status}, and not one of {sorted(expected)}: {done.body[:200]!r}"


def _statuses(run: Run, done: Exchange) -> set[int]:
    ok = {200}
    if done.headers.get("x-neverblank-served-by") == "last_resort":
        ok = {
            each.get("last_resort", {}).get("status", 200)
            for each in in_force(run.world.policy, run.record, done.started, done.ended or 0.0)
        }
    late_body = not done.arrived or done.arrived - done.started > 2.0
    late = {408} if late_body else set()
    if not done.ask.valid:
        return {400} | late | (ok if turned_away(done) else set())
    rejected = any(call.outcome == "rejected" for token in done.ask.tokens for call in run.record.of(token))
    # Where nobody else may answer, a model that does not exist is the caller's mistake.
    unknown = (
        {404} if _asks_one_model(done.ask) and not any(run.record.of(token) for token in done.ask.tokens) else set()
    )
    return ok | late | unknown | ({400} if rejected else set())


def _asks_one_model(ask: Ask) -> bool:
    return any(words in ask.body for words in (b'"fallback":false', b'"tiers":["primary"]'))


def whole(run: Run) -> list[Exchange]:
    """The requests whose callers stayed to the end."""
    return [done for done in run.exchanges if done.is_whole]


def answers(run: Run) -> Iterator[tuple[Exchange, Told]]:
    """Every answer that can be read."""
    yield from ((done, told) for done, told, _ in placed(run))


def placed(run: Run) -> Iterator[tuple[Exchange, Told, str]]:
    """Every answer that can be read, and the token of its prompt."""
    for done in whole(run):
        told = _read(run, done)[0]
        # A request that was turned away, or whose body nobody understood, has one answer for all of its prompts.
        tokens = done.ask.tokens if len(told) == done.ask.prompts else [done.ask.tokens[0]]
        yield from zip(repeat(done), told, tokens, strict=False)


def _read(run: Run, done: Exchange) -> tuple[list[Told], str]:
    """The answers in a response, and why they cannot be read; each is read once."""
    key = id(done)
    if key not in run.told:
        try:
            run.told[key] = (read(done), "") if done.status in (200, 503) else ([], "")
        except UnreadableError as error:
            run.told[key] = ([], str(error))
    return run.told[key]


def turned_away(done: Exchange) -> bool:
    return done.headers.get("x-neverblank-attempts") == "" and done.headers.get("retry-after") == "1"


def _in_its_format(run: Run) -> Iterator[str]:
    for done in whole(run):
        told, unreadable = _read(run, done)
        if unreadable:
            yield f"{done.ask.token}: {unreadable}"
            continue
        try:
            if done.status in (200, 503):
                if len(told) != done.ask.prompts and not turned_away(done):
                    yield f"{done.ask.token}: {len(told)} answers to {done.ask.prompts} prompts"
                streamed = "text/event-stream" in done.headers["content-type"]
                if streamed != done.ask.stream and done.ask.valid:
                    yield f"{done.ask.token}: streamed is {streamed}"
            elif is_blank(read_error(done)):
                yield f"{done.ask.token}: an error without a word"
        except UnreadableError as error:
            yield f"{done.ask.token}: {error}"


def _in_the_form(run: Run) -> Iterator[str]:
    for done, told in answers(run):
        form = done.ask.form
        if not form or not done.ask.valid or told.refusal or told.finish_reason == "content_filter":
            continue
        if told.is_last_resort:
            yield f"{done.ask.token}: words where {form} was demanded: {told.text!r}"
        elif not told.tool_calls and (form == "tool" or not fits(form, told.text)):
            yield f"{done.ask.token}: {told.text!r} is no {form}"


def fits(form: str, text: str) -> bool:
    """Whether a text has the form that was demanded."""
    bare = text.removeprefix("```json\n").removesuffix("\n```")
    try:
        value = orjson.loads(bare)
    except orjson.JSONDecodeError:
        return False
    if form == "json":
        return isinstance(value, dict)
    return isinstance(value, dict) and value.keys() == {"name", "age"} and isinstance(value["age"], int)


def _not_late(run: Run) -> Iterator[str]:
    for done in whole(run):
        moment = first_event(done) if done.ask.stream else done.ended or 0.0
        due = max(done.started + done.ask.timeout_s, done.arrived) + held_up(run, done.started, moment)
        due += done.ask.reads_every_s if signs_before(done, moment) else 0.0
        if done.ask.valid and done.status in (200, 503) and moment > due + LATE_S:
            yield f"{done.ask.token}: {moment - due:.3f} s late"
        if done.ask.stream and not done.ask.reads_every_s:
            yield from _silent(run, done)


def first_event(done: Exchange) -> float:
    """When the first event of a stream came: a comment is none."""
    return next((at for at, chunk in done.chunks if not chunk.startswith(b":")), done.ended or 0.0)


def signs_before(done: Exchange, moment: float) -> bool:
    """Whether a sign of life came before `moment`. Who takes his time over the last one gets the rest later."""
    return any(at < moment and chunk.startswith(b":") for at, chunk in done.chunks)


def _silent(run: Run, done: Exchange) -> Iterator[str]:
    """A stream says something, or its writer is at work, or somebody else carries on, within the policy's bounds."""
    calls = [call for token in done.ask.tokens for call in run.record.of(token)]
    at_work = [at for call in calls for at in call.moments if at >= done.started]
    moments = sorted([at for at, _ in done.chunks] + [done.ended or 0.0] + at_work)
    for before, after in pairwise(moments):
        most = SILENT_S + held_up(run, before, after) + LATE_S
        if before < first_event(done):  # that the first content is in time is another matter
            continue
        if after - before > most:
            yield f"{done.ask.token}: silent for {after - before:.2f} s"


def held_up(run: Run, since: float, until: float) -> float:
    """Seconds for which the loop was held up in that time."""
    return sum(seconds for at, seconds in run.jumps if at + seconds >= since and at <= until)


def _nothing_left(run: Run) -> Iterator[str]:
    yield from run.left


def _log(run: Run) -> Iterator[str]:
    for level, event, fields in run.logged:
        if told := own_fault(event, fields):
            yield f"{level} {told}"


def _trace(run: Run) -> Iterator[str]:
    for done, told, token in placed(run):
        calls = run.record.of(token)
        if told.model:  # of several prompts, only the answer to the first has a trace
            yield from (f"{token}: {fault}" for fault in compared(told, calls, done))
            yield from (f"{token}: {fault}" for fault in provenance(told, done))
        yield from (f"{token}: {fault}" for fault in wording(run, told, calls, done))


def _patient(run: Run) -> Iterator[str]:
    """Whoever says when it wants to be asked again is not asked again before, whatever the reason to ask it is."""
    for done in run.exchanges:
        for token in done.ask.tokens:
            last: dict[str, Call] = {}
            for after in run.record.of(token):
                before = last.get(after.model)
                last[after.model] = after
                if before and before.ended is not None and after.started < before.ended + before.retry_after_s - 1e-6:
                    yield f"{token}: call {after.number} on {after.model} came too soon behind {before.number}"


CHECKS: dict[str, Callable[[Run], Iterator[str]]] = {
    "one answer for each request": _one_answer,
    "a status that was asked for": _status,
    "in its format, and not blank": _in_its_format,
    "in the form that was demanded": _in_the_form,
    "not late, and not silent": _not_late,
    "nothing left behind": _nothing_left,
    "no fault of ours in the log": _log,
    "a true trace": _trace,
    "no retry before its time": _patient,
}
