"""A model behind a server that its replica runs, on the real service."""

import json
import time
from typing import Any

import psutil

from tests.service.service import Service, eventually
from tests.upstream.voices import USAGE

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
CHAT = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}],
    "tools": [TOOL],
    "top_k": 5,
}


def ask(service: Service, model: str = "server") -> dict[str, Any]:
    response = service.http.post("/v1/chat/completions", json={**CHAT, "model": model, "timeout": 20})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def facts(service: Service, model: str = "server") -> dict[str, Any]:
    found: dict[str, Any] = service.http.get("/status").json()["models"].get(model, {})
    return found


def test_a_server_of_a_replica_gets_the_request_as_it_was_sent_and_its_answer_comes_back(service: Service) -> None:
    service.wait_ready("server")

    answer = ask(service)

    got = json.loads(answer["choices"][0]["message"]["content"])
    assert {key: got[key] for key in CHAT} == CHAT
    assert (answer["neverblank"]["served_by"], answer["neverblank"]["degraded"]) == ("primary", False)
    assert answer["usage"]["completion_tokens"] == USAGE["completion_tokens"]


def test_a_server_that_dies_is_started_again_and_ends_with_a_replica_that_is_killed(service: Service) -> None:
    service.wait_ready("server")
    before = facts(service)
    psutil.Process(before["process"]).children(recursive=True)[-1].kill()

    def again() -> dict[str, Any] | None:
        """What one of the routers says: they learn of it one after the other."""
        found = facts(service)
        return found if (found["state"], found["starts"]) == ("ready", 2) else None

    told = eventually(again)
    answered_again = ask(service)["neverblank"]["served_by"]
    leader = psutil.Process(told["process"])
    family = [leader, *leader.children(recursive=True)]
    leader.parent().kill()  # type: ignore[union-attr]  # its replica
    eventually(lambda: not any(each.is_running() for each in family), timeout_s=30)
    while_it_is_gone = ask(service)["neverblank"]["served_by"]

    assert answered_again == "primary"
    assert while_it_is_gone in {"primary", "backup"}


def test_while_one_of_two_servers_is_started_again_the_other_one_answers(service: Service) -> None:
    """Two replicas, the first of whose servers takes seconds to start."""
    service.wait_ready("twins")
    eventually(lambda: facts(service, "twins")["replicas"] == {"running": 2, "starting": 0})
    told = facts(service, "twins")
    psutil.Process(told["process"]).children(recursive=True)[-1].kill()
    seconds, told_by = [], []
    until = time.monotonic() + 6.0
    while time.monotonic() < until:
        began = time.monotonic()
        told_by.append(ask(service, "twins")["neverblank"])
        seconds.append(time.monotonic() - began)

    elsewhere = [each["attempts"] for each in told_by if each["served_by"] != "primary"]
    assert not elsewhere, (elsewhere, len(told_by))
    slow = [round(each, 2) for each in seconds if each > 1.5]
    assert len(told_by) > 20
    assert len(slow) <= 2, (slow, len(told_by))


def test_a_text_completion_reaches_the_servers_own(service: Service) -> None:
    service.wait_ready("server")
    body = {"prompt": "Once", "suffix": ".", "logprobs": 1}

    response = service.http.post("/v1/completions", json={**body, "model": "server", "timeout": 20})

    got = json.loads(response.json()["choices"][0]["text"])
    assert {key: got[key] for key in body} == body


def test_a_request_for_a_server_that_has_never_been_ready_is_not_called_invalid(service: Service) -> None:
    eventually(lambda: facts(service, "unhealthy").get("state") == "loading")

    response = service.http.post("/v1/chat/completions", json={**CHAT, "model": "unhealthy", "wait": False})

    assert response.status_code == 200, response.text
    assert response.json()["neverblank"]["attempts"][0]["reason"].startswith("not ready: ")


def test_a_server_that_starts_is_told_with_its_last_line(service: Service) -> None:
    told = eventually(lambda: "last_line" in (found := facts(service, "unhealthy")) and found)

    assert told["state"] == "loading"
    assert told["last_line"] == "not yet"
    assert told["reason"].startswith("its server is started, ")
