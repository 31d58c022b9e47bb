"""What is reported of a run of random faults."""

import json
from pathlib import Path

from tests.cluster.chaos import KINDS, Fault
from tests.cluster.report import figures, unexpected, write
from tests.cluster.test_verdict import sent
from tests.cluster.verdict import Tally


def test_the_report_tells_the_seed_what_every_request_got_and_what_it_got_under_each_fault(tmp_path: Path) -> None:
    tally = Tally.of(
        [sent(), sent(started=21.0, status=404, served_by=""), sent(started=25.0, first_s=2.0, seconds=2.0)]
    )
    fault = Fault(next(iter(KINDS)), "10.99.0.2", 20.0, 30.0, 4.0)

    write(figures(tally, [fault], seed=7), tally, tmp_path / "chaos.json")

    told = json.loads((tmp_path / "chaos.json").read_text())
    assert (told["seed"], told["requests"], told["verdicts"]) == (7, 3, {"answered": 2, "lost": 1})
    assert told["unexpected"] == 1
    assert (told["bad"][0]["verdict"], told["bad"][0]["at"]) == ("lost", 11.0)
    assert told["faults"][0]["verdicts"] == {"lost": 1, "answered": 1}
    assert (told["faults"][0]["from"], told["faults"][0]["slowest_after_3_s"]) == (10.0, 2.0)


def test_a_stream_that_is_broken_off_is_expected_only_while_a_fault_could_have_broken_it() -> None:
    fault = Fault(next(iter(KINDS)), "10.99.0.2", 20.0, 30.0, 4.0)
    broken = [
        sent(kind="stream", started=1.0, seconds=ends - 1.0, first_s=0.1, ended=False, error="reset")
        for ends in (19.0, 25.0, 39.0, 41.0)
    ]

    found = unexpected(Tally.of(broken), [fault])

    assert [one.started + one.seconds for _, one in found] == [19.0, 41.0]
