"""A replica that is stopped (`kill -STOP`), on a real Serve instance by the default policy: nobody waits for it."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.service.service import Service, eventually

WARM_UP_S = 12.0
STOPPED_S = 12.0
DEADLINE_S = 6.0
LONGEST_S = 1.5
FOURTH_SECOND_S = 4.0
FEW_WAITED_S = 2.5
"""In the first seconds: several times what the model usually takes, and then what the fallback takes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: when it was sent, how long it took, and who answered."""

    at: float
    seconds: float
    model: str


@pytest.fixture
def service(plain: Service) -> Service:
    return plain


def ask_until(service: Service, end: float) -> list[Asked]:
    """One caller, who asks again as soon as there is an answer."""
    asked = []
    while (now := time.monotonic()) < end:
        answer, seconds = service.ask({"text": "Hello", "timeout": DEADLINE_S}, "paced")
        asked.append(Asked(now, seconds, answer["model"]))
    return asked


@pytest.mark.timeout(300)
@pytest.mark.parametrize("clients", [1, 4, pytest.param(64, marks=pytest.mark.soak)])
def test_nobody_waits_for_a_replica_that_is_stopped_from_the_fourth_second_on(service: Service, clients: int) -> None:
    stopped_at = time.monotonic() + WARM_UP_S
    replica = service.replica("paced")
    with ThreadPoolExecutor(clients) as callers:
        asking = [callers.submit(ask_until, service, stopped_at + STOPPED_S) for _ in range(clients)]
        time.sleep(WARM_UP_S)
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            asked = [each for caller in asking for each in caller.result()]
        finally:
            os.kill(replica.pid, signal.SIGCONT)

    waited = [each.seconds for each in asked if each.at >= stopped_at - DEADLINE_S]
    later = [each for each in asked if each.at >= stopped_at + FOURTH_SECOND_S]
    before = [each.model for each in asked if each.at < stopped_at - 1.0]
    assert before.count("paced") >= 0.9 * len(before)  # of the rest a hedge may have won
    assert max(waited) <= FEW_WAITED_S
    assert max(each.seconds for each in later) <= LONGEST_S
    assert {each.model for each in later} == {"spare"}
    eventually(lambda: service.ask({"text": "Hello"}, "paced")[0]["model"] == "paced", 30.0)
