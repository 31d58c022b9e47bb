"""A replica whose work does not advance is replaced, on a real Serve instance; until then the others answer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.processes import has_gone
from tests.service.own.team import THREADS, Team
from tests.service.service import Service, eventually

DEADLINE_S = 16.0
REPLACED_S = 150.0
"""Serve ends a replica after three failed health checks, two seconds apart; the new one has to load."""


@pytest.fixture
def service(team: Team) -> Service:
    return team.service


def answered_by(service: Service, model: str, body: dict[str, Any]) -> str:
    """Who answers `body` for `model`, within its deadline; the last resort never has to."""
    body = {"max_tokens": 4, "timeout": DEADLINE_S, **body}
    answer, seconds = service.ask(body, model, **{"x-neverblank-cache": "false"})
    assert seconds <= DEADLINE_S + 0.5
    assert answer["served_by"] in {"primary", "backup"}, answer
    return str(answer["served_by"])


@pytest.mark.parametrize(
    ("model", "stuck", "well"),
    [
        ("hanging", {"text": "Hello", "seconds": 3600}, {"text": "Hello"}),
        ("deadlocking", {"input": [["deadlock"]]}, {"input": [["hello"]]}),
    ],
)
def test_a_replica_whose_threads_are_all_stuck_is_replaced_and_the_backup_answers_until_then(
    service: Service, model: str, stuck: dict[str, Any], well: dict[str, Any]
) -> None:
    assert answered_by(service, model, well) == "primary"
    replica = service.replica(f"{model}:Model")

    with ThreadPoolExecutor(THREADS) as callers:
        answered = list(callers.map(lambda _: answered_by(service, model, stuck), range(THREADS)))
    assert answered == ["backup"] * THREADS

    eventually(lambda: answered_by(service, model, well) == "primary", REPLACED_S)
    eventually(lambda: has_gone(replica), REPLACED_S)
    assert f'"event": "model_stalled", "model": "{model}"' in service.log


def test_a_replica_whose_engine_process_is_stopped_is_replaced_with_it_and_the_backup_answers_until_then(
    service: Service,
) -> None:
    assert answered_by(service, "smollm2", {"text": "Hello"}) == "primary"
    replica = service.replica("smollm2:Model")
    engine = psutil.Process(service.status()["models"]["smollm2"]["process"])
    assert engine.ppid() == replica.pid

    engine.suspend()
    assert answered_by(service, "smollm2", {"text": "Hello"}) == "backup"

    eventually(lambda: answered_by(service, "smollm2", {"text": "Hello"}) == "primary", REPLACED_S)
    eventually(lambda: has_gone(replica) and has_gone(engine), REPLACED_S)
    assert eventually(lambda: service.status()["models"]["smollm2"]["process"] != engine.pid)


def test_a_backup_whose_engine_process_is_stopped_is_replaced_while_models_answer(service: Service) -> None:
    service.wait_ready()
    engine = psutil.Process(service.status()["backup"]["process"])

    engine.suspend()
    with ThreadPoolExecutor(1) as callers:
        callers.submit(service.ask, {"text": "Hello", "timeout": DEADLINE_S}, "nobody-knows-it")
        assert answered_by(service, "hanging", {"text": "Hello"}) == "primary"
        eventually(lambda: has_gone(engine), REPLACED_S)

    def backup_answers() -> bool:
        answer, _ = service.ask({"text": "Hello", "max_tokens": 4, "timeout": DEADLINE_S}, "nobody-knows-it")
        return bool(answer["served_by"] == "backup")

    eventually(backup_answers, REPLACED_S)
