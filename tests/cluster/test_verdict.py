"""What each request is owed."""

from typing import Any

import pytest

from tests.cluster.hosts import Outage
from tests.cluster.verdict import Sent, Tally, Verdict, judge


def sent(**changes: Any) -> Sent:
    facts: dict[str, Any] = {"started": 10.0, "seconds": 0.2, "host": "10.99.0.2", "kind": "whole", "deadline_s": 6.0}
    facts |= {"first_s": 0.2, "status": 200, "served_by": "primary", "result": "Hello", "ended": True} | changes
    return Sent(**facts)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "answered"),
        ({"served_by": "last_resort"}, "last resort"),
        ({"served_by": "last_resort", "status": 503}, "last resort"),
        ({"seconds": 6.4, "first_s": 6.4}, "answered"),
        ({"seconds": 6.6, "first_s": 6.6}, "late"),
        ({"result": " \u200b "}, "blank"),
        ({"served_by": "", "status": 404}, "lost"),
        ({"ended": False, "status": 0, "error": "reset"}, "lost"),
        ({"kind": "stream", "seconds": 300.0, "first_s": 0.4}, "answered"),
        ({"kind": "stream", "seconds": 300.0, "silence_s": 20.4}, "answered"),
        ({"kind": "stream", "seconds": 300.0, "silence_s": 20.6}, "late"),
        ({"kind": "stream", "seconds": 20.0, "first_s": 0.4, "ended": False}, "cut"),
        ({"kind": "stream", "seconds": 20.0, "first_s": 0.4, "ended": False, "error": "reset"}, "broken off"),
        ({"kind": "stream", "first_s": float("inf"), "ended": False}, "lost"),
    ],
)
def test_a_request_gets_what_it_was_owed_or_it_is_told_what_it_got(changes: dict[str, Any], verdict: str) -> None:
    assert judge(sent(**changes)).value == verdict


def test_a_request_is_not_counted_while_its_own_host_was_down() -> None:
    lost = sent(ended=False, seconds=8.0)

    assert judge(lost, [Outage("10.99.0.2", 12.0, 14.0)]) is Verdict.UNREACHABLE
    assert judge(lost, [Outage("10.99.0.3", 12.0, 14.0)]) is Verdict.LOST
    assert judge(lost, [Outage("10.99.0.2", 1.0, 9.0)]) is Verdict.LOST


def test_a_tally_tells_what_was_bad_how_long_the_last_resort_answered_and_what_was_slowest() -> None:
    tally = Tally.of([sent(), sent(started=11.0, served_by="last_resort"), sent(started=13.5, served_by="last_resort")])

    assert (tally.bad, tally.last_resort_s) == ([], 2.5)
    assert tally.slowest_s(10.0, 11.0) == 0.2
    both = Tally.joined(Tally.of([sent(started=12.0)]), Tally.of([sent(result="", started=11.0)]))
    assert list(both.verdicts) == ["blank", "answered"]
    assert Tally.of([sent(result="")]).bad[0][0] is Verdict.BLANK
