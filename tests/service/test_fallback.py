"""The contract table, on a real Serve instance with the real backup model."""

import asyncio
import signal
import threading
from typing import Any

import pytest

from tests.service.service import Service, eventually

DEADLINE_S = 8.0
SLACK_S = 0.1
"""What the issue of an answer may take beyond its deadline, measured by the caller."""


@pytest.fixture(autouse=True)
def well(service: Service) -> None:
    """The model that fails on demand has answered: a replica that fails every request for a while is replaced."""
    service.ask({"text": "Hello"}, "faulty")


def backup_answer(service: Service, body: dict[str, Any], model: str) -> dict[str, Any]:
    """Ask `model`, require the backup's answer in time, and give the attempt made before it."""
    answer, seconds = service.ask(body | {"timeout": DEADLINE_S, "max_tokens": 8}, model)
    assert answer["served_by"] == "backup", answer
    assert answer["degraded"]
    assert answer["result"].strip()
    assert seconds <= DEADLINE_S + SLACK_S
    first: dict[str, Any]
    first, second = answer["attempts"]
    assert (first["tier"], first["model"]) == ("primary", model)
    assert (second["tier"], second["outcome"]) == ("backup", "answered")
    return first


def test_a_real_model_answers_a_real_question(service: Service) -> None:
    answer, _ = service.ask({"text": "What is the capital of France?", "temperature": 0})

    assert "Paris" in answer["result"]
    assert (answer["served_by"], answer["model"], answer["degraded"]) == ("primary", "smollm2", False)
    assert answer["usage"]["completion_tokens"] > 0


def test_the_backup_answers_for_a_model_that_raises(service: Service) -> None:
    attempt = backup_answer(service, {"text": "Hello", "fault": "raise"}, "faulty")

    assert (attempt["outcome"], attempt["reason"]) == ("failed", "ValueError: this model is broken")


@pytest.mark.parametrize("value", ["", "  \n", None, [], [[], {"a": ""}]])
def test_the_backup_answers_for_a_model_that_returns_nothing(service: Service, value: object) -> None:
    attempt = backup_answer(service, {"text": "Hello", "fault": "return", "value": value}, "faulty")

    assert attempt["outcome"] == "blank"


def test_the_backup_answers_for_a_model_that_hangs(service: Service) -> None:
    attempt = backup_answer(service, {"text": "Hello", "fault": "hang"}, "faulty")

    assert attempt["outcome"] == "timed_out", attempt


def test_the_backup_answers_for_a_model_that_blocks_its_thread(service: Service) -> None:
    attempt = backup_answer(service, {"text": "Hello", "seconds": 20}, "blocking")

    assert attempt["outcome"] == "timed_out"


def test_the_backup_answers_when_the_replica_is_killed_under_the_request(service: Service) -> None:
    attempt = backup_answer(service, {"text": "Hello", "fault": "die"}, "faulty")

    assert attempt["outcome"] == "failed"
    assert "died" in attempt["reason"]
    service.wait_ready("faulty")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("slow", "not ready"),
        ("nobody-knows-it", "unknown model"),
        ("broken", "RuntimeError: no weights here"),
        ("missing", "No module named 'no_such_module'"),
        ("invalid", "failed to start"),
    ],
)
def test_the_backup_answers_for_a_model_that_is_not_there(service: Service, model: str, reason: str) -> None:
    attempt = backup_answer(service, {"text": "Hello"}, model)

    assert attempt["outcome"] == "refused"
    assert reason in attempt["reason"]


def test_a_slow_model_still_wins_while_the_backup_works(service: Service) -> None:
    answer, _ = service.ask(
        {"text": "Count to a thousand, please.", "seconds": 3.4, "timeout": 6, "max_tokens": 500}, "blocking"
    )

    assert (answer["result"], answer["served_by"]) == ("blocking says hello", "primary")
    assert [attempt["outcome"] for attempt in answer["attempts"]] == ["answered", "cancelled"]


def test_the_last_resort_answers_when_the_backup_is_killed_under_the_request(service: Service) -> None:
    backup = service.replica("neverblank:Backup")
    engine = service.engine("neverblank:Backup")
    idle = engine.cpu_times().user
    asked: dict[str, Any] = {}

    def ask() -> None:
        body = {
            "text": "Tell me a very long story.",
            "fault": "raise",
            "max_tokens": 500,
            "timeout": DEADLINE_S,
            "wait": False,
        }
        asked["answer"], asked["seconds"] = service.ask(body, "faulty")

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: engine.cpu_times().user > idle + 0.3, 5)  # it is writing
    backup.send_signal(signal.SIGKILL)
    thread.join()

    assert asked["answer"]["served_by"] == "last_resort"
    assert asked["answer"]["result"].strip()
    assert [attempt["outcome"] for attempt in asked["answer"]["attempts"]] == ["failed", "failed"]
    assert asked["seconds"] <= DEADLINE_S + SLACK_S


def test_a_request_waits_for_the_backup_that_is_being_replaced(service: Service) -> None:
    service.wait_ready()
    service.replica("neverblank:Backup").send_signal(signal.SIGKILL)

    answer, _ = service.ask({"text": "Hello", "timeout": 120, "max_tokens": 4}, "nobody-knows-it")

    assert answer["served_by"] == "backup"
    assert answer["attempts"][-1]["why"] == "ready"


def test_without_any_backup_replica_a_caller_that_will_not_wait_gets_the_last_resort(service: Service) -> None:
    service.wait_ready()
    service.replica("neverblank:Backup").send_signal(signal.SIGKILL)

    answer, seconds = service.ask({"text": "Hello", "timeout": 2, "wait": False}, "nobody-knows-it")

    assert answer["served_by"] == "last_resort"
    assert seconds <= 2 + SLACK_S
    service.wait_ready()


def test_sixteen_callers_at_once_all_get_an_answer_in_time(service: Service) -> None:
    async def ask_all() -> list[dict[str, Any]]:
        bodies = [{"text": f"Hello {n}", "fault": "raise", "timeout": 6, "max_tokens": 8} for n in range(16)]
        return [a for a, _ in await asyncio.gather(*(asyncio.to_thread(service.ask, b, "faulty") for b in bodies))]

    answers = asyncio.run(ask_all())

    assert all(answer["result"].strip() for answer in answers)
    assert all(answer["attempts"][0]["model"] == "faulty" for answer in answers)
    assert sum(answer["served_by"] == "backup" for answer in answers) >= 8, "the backup takes what it has room for"


def test_every_fallback_is_one_log_line_with_its_trace_and_without_content(service: Service) -> None:
    service.ask({"text": "a most secret text", "timeout": 5, "max_tokens": 4}, "nobody-logs-it")

    line = eventually(lambda: next((x for x in service.log.splitlines() if "nobody-logs-it" in x), ""), 10)
    assert '"event": "fallback"' in line
    assert '"reason": "unknown model"' in line
    assert "a most secret text" not in service.log
