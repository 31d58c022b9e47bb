"""One of two replicas is stopped (`kill -STOP`), as if its plug had been pulled: the other one is asked, nobody waits.

Nothing else finds it out here: the shared service has neither hedges nor breakers, and judges no silence of a model.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.service.service import Service, eventually

STOPPED_S = 9.0
"""Shorter than Serve takes to replace a replica that answers no health check."""

NOT_WAITED_S = 1.5
"""Who waits for a replica that is stopped waits for seconds; a busy machine takes a while, too."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: when it was sent, how long it took, and who answered."""

    at: float
    seconds: float
    served_by: str


def ask_until(service: Service, end: float, model: str) -> list[Asked]:
    """One caller, who asks again as soon as there is an answer; nobody else may answer."""
    asked = []
    while (now := time.monotonic()) < end:
        answer, seconds = service.ask({"text": "Hello", "timeout": 6, "fallback": False}, model)
        asked.append(Asked(now, seconds, answer["served_by"]))
        time.sleep(0.02)
    return asked


def test_of_two_replicas_the_one_that_is_stopped_is_passed_over_and_asked_again_once_it_goes_on(
    service: Service,
) -> None:
    service.wait_ready("narrator", "faulty")
    replica = service.replica("narrator")
    stopped_at = time.monotonic() + 1.0
    with ThreadPoolExecutor(5) as callers:
        asking = [callers.submit(ask_until, service, stopped_at + STOPPED_S, "narrator") for _ in range(4)]
        beside = callers.submit(ask_until, service, stopped_at + STOPPED_S, "faulty")
        time.sleep(1.0)
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            asked = [each for caller in asking for each in caller.result()]
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        went_on = time.monotonic()

    assert {each.served_by for each in asked} == {"primary"}
    assert max(each.seconds for each in asked) <= 3.5
    assert max(each.seconds for each in asked if each.at >= stopped_at + 3.0) <= NOT_WAITED_S
    assert {each.served_by for each in beside.result()} == {"primary"}
    assert max(each.seconds for each in beside.result()) <= NOT_WAITED_S
    assert service.log.count('"replica_unresponsive"') >= 1
    eventually(lambda: service.log.count('"replica_responsive"') == service.log.count('"replica_unresponsive"'), 10.0)
    assert time.monotonic() - went_on <= 10.0
