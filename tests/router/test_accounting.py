"""Every request has one end that is counted: answered, rejected by its model, or abandoned by its caller."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.execution.clock import loop_time
from deployments.observability import metric_table as table
from deployments.observability.metrics import drain_counts
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.stream_events import TextDelta
from deployments.router.accounting import RecordedStream, RequestAccounting, RequestRecord
from deployments.router.visit import Visit
from tests.fakes import a_request
from tests.http.service import ScriptedStream

pytestmark = pytest.mark.looptime

ANSWER = Answer("Hello", "a", Tier.PRIMARY, degraded=False, attempts=())


@pytest.fixture
async def accounting() -> AsyncIterator[RequestAccounting]:
    drain_counts()
    yield RequestAccounting()
    drain_counts()


def a_record(accounting: RequestAccounting) -> RequestRecord:
    return RequestRecord(accounting, "id", "a", loop_time(), "")


async def test_an_answered_request_counts_once_whatever_comes_after(accounting: RequestAccounting) -> None:
    record = a_record(accounting)
    assert accounting.in_flight == 1

    record.answered(ANSWER)
    record.abandoned()

    facts = accounting.describe()
    assert (facts["in_flight"], facts["answers"]["primary"], facts["abandoned"]) == (0, 1, 0)


async def test_what_a_caller_that_left_has_cost_is_counted(accounting: RequestAccounting) -> None:
    record = RequestRecord(accounting, "id", "a", started=loop_time() - 2.5, content="")

    record.abandoned()

    counts = drain_counts()
    assert counts.counted == {(table.ABANDONED, ()): 1, (table.ABANDONED_SECONDS, ()): pytest.approx(2.5)}
    assert accounting.describe()["abandoned"] == 1
    assert drain_counts().counted == {}


async def test_a_drill_is_no_caller_that_left(accounting: RequestAccounting) -> None:
    RequestRecord(accounting, "id", "a", loop_time(), "", drill=True).abandoned()

    assert drain_counts().counted == {}
    assert (accounting.describe()["abandoned"], accounting.describe()["drills"]) == (0, 1)


async def test_a_caller_that_leaves_a_stream_is_charged_by_the_bytes_of_what_it_got() -> None:
    charged: list[float] = []
    gate: Any = SimpleNamespace(price=lambda *_: 0.0)
    grant: Any = SimpleNamespace(settle=lambda tokens, _: charged.append(tokens))
    visit = Visit(gate, "key", grant, (), a_request(""), "a")

    for piece in ("你好" * 20, "", "!"):
        visit.wrote(TextDelta(piece, "a", Tier.PRIMARY))
    visit.abandoned()

    assert charged == [31.0]  # 121 bytes


async def test_a_request_that_its_model_rejects_is_neither_answered_nor_abandoned(
    accounting: RequestAccounting,
) -> None:
    record = a_record(accounting)

    record.rejected()
    record.abandoned()

    facts = accounting.describe()
    assert (facts["in_flight"], sum(facts["answers"].values()), facts["abandoned"]) == (0, 0, 0)


async def test_a_stream_that_is_read_to_its_end_is_answered_and_one_that_is_closed_before_is_abandoned(
    accounting: RequestAccounting,
) -> None:
    read = RecordedStream(ScriptedStream(("Hel", "lo"), ANSWER), a_record(accounting))
    left = RecordedStream(ScriptedStream(("Hel", "lo"), ANSWER), a_record(accounting))

    assert len([item async for item in read]) == 3
    await left.aclose()

    facts = accounting.describe()
    assert (facts["answers"]["primary"], facts["abandoned"], facts["in_flight"]) == (1, 1, 0)


async def test_an_answer_behind_its_deadline_and_the_first_content_of_a_stream_are_counted(
    accounting: RequestAccounting,
) -> None:
    late = RequestRecord(accounting, "id", "a", loop_time() - 3.0, "")
    streamed = RequestRecord(accounting, "id", "a", loop_time() - 1.0, "")
    late.deadline_s = streamed.deadline_s = 2.0

    late.answered(ANSWER)
    stream = RecordedStream(ScriptedStream(("Hel", "lo"), ANSWER, pause_s=5.0), streamed)
    assert len([item async for item in stream]) == 3

    counts = drain_counts()
    assert counts.counted[table.LATE_ANSWERS, ("primary",)] == 1, "a stream is due with its first content"
    (first,) = [
        (labels, seconds) for metric, labels, seconds in counts.durations if metric is table.FIRST_TOKEN_SECONDS
    ]
    assert first[0] == ("primary", "a")
    assert first[1] == pytest.approx(1.0)


class Unchargeable:
    """A visit in which every charge is an error of ours."""

    def __init__(self) -> None:
        self.given_back = 0

    def answered(self, *_: Any) -> None:
        raise ZeroDivisionError

    rejected = abandoned = answered

    def withdraw(self) -> None:
        self.given_back += 1


@pytest.mark.parametrize(("end", "told"), [("answered", [ANSWER]), ("rejected", []), ("abandoned", [])])
async def test_what_was_granted_to_a_key_is_given_back_where_it_cannot_be_charged_and_that_breaks_nothing_else(
    accounting: RequestAccounting, end: str, told: list[Any]
) -> None:
    visit: Any = Unchargeable()
    record = a_record(accounting)
    record.visit = visit

    getattr(record, end)(*told)

    assert (visit.given_back, accounting.in_flight) == (1, 0)
