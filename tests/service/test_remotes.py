"""Every fault of an upstream, through the real service: the answer is not blank, valid, in time, and its trace true."""

from typing import Any

import pytest

from tests.service.conftest import AGAIN, PLAYED
from tests.service.service import Service

DEADLINE_S = 3.0
SLACK_S = 0.1
TIERS = {"primary", "backup", "last_resort"}
MAY_REJECT = ("status-4", "too-long", "against-policy", "error-")
EVEN, ODD = PLAYED[::2], PLAYED[1::2]
"""Each scenario is asked whole or streamed here; in process, tests/upstream plays all of them both ways."""
OUTCOMES = {"answered", "blank", "failed", "timed_out", "refused", "rejected", "cancelled"}


def ask(service: Service, model: str, **more: Any) -> tuple[dict[str, Any], int, float]:
    body = {"text": "Say something.", "timeout": DEADLINE_S, "max_tokens": 6, **more}
    response = service.http.post(f"/v1/infer/{model}", json=body)
    return response.json(), response.status_code, response.elapsed.total_seconds()


def require_true(answer: dict[str, Any], status: int, model: str) -> None:
    """A rejection is explained; everything else is an answer whose trace fits it."""
    assert answer["result"] if not isinstance(answer["result"], str) else answer["result"].strip()
    if status != 200:
        assert (status, answer["error"]["type"]) == (400, "invalid_request")
        return
    first = answer["attempts"][0]
    assert (first["tier"], first["model"]) == ("primary", model)
    assert {attempt["outcome"] for attempt in answer["attempts"]} <= OUTCOMES
    assert answer["served_by"] in TIERS
    assert answer["degraded"] == (answer["model"] != model)
    if answer["served_by"] != "last_resort":
        answered = [attempt for attempt in answer["attempts"] if attempt["outcome"] == "answered"]
        assert answered[-1]["model"] == answer["model"]


@pytest.mark.parametrize("scenario", EVEN)
def test_whatever_a_remote_model_does_there_is_an_answer(service: Service, scenario: str) -> None:
    answer, status, seconds = ask(service, scenario)

    require_true(answer, status, scenario)
    assert answer.get("served_by") != "last_resort"
    assert seconds <= DEADLINE_S + SLACK_S


@pytest.mark.parametrize("scenario", ODD[::2])
def test_whatever_a_remote_model_and_the_one_behind_it_do_there_is_an_answer(service: Service, scenario: str) -> None:
    answer, status, seconds = ask(service, scenario + AGAIN, tiers=["primary"])

    require_true(answer, status, scenario + AGAIN)
    assert seconds <= DEADLINE_S + SLACK_S


@pytest.mark.parametrize("scenario", ODD)
def test_whatever_a_remote_stream_does_it_ends_with_an_answer(service: Service, scenario: str) -> None:
    body = {"text": "Say something.", "timeout": DEADLINE_S, "max_tokens": 6, "stream": True}
    answer = require_stream(service, scenario, body)

    assert answer.get("served_by") != "last_resort"


@pytest.mark.parametrize("scenario", EVEN[::2])
def test_whatever_a_remote_stream_and_the_one_behind_it_do_it_ends_with_an_answer(
    service: Service, scenario: str
) -> None:
    body = {"text": "Say something.", "timeout": DEADLINE_S, "max_tokens": 6, "stream": True, "tiers": ["primary"]}
    require_stream(service, scenario + AGAIN, body)


def require_stream(service: Service, model: str, body: dict[str, Any]) -> dict[str, Any]:
    """The whole answer of a stream that is as it must be; the problem where its request was rejected."""
    may_reject = any(part in model for part in MAY_REJECT)
    if may_reject and not (response := service.http.post(f"/v1/infer/{model}", json=body)).is_success:
        problem: dict[str, Any] = response.json()
        require_true(problem, 400, model)
        return problem
    streamed = service.stream(body, model)
    answer = streamed.answer

    require_true(answer, 200, model)
    assert streamed.first_s <= DEADLINE_S + SLACK_S
    assert streamed.headers["x-neverblank-served-by"] in TIERS
    if answer["served_by"] == "last_resort":
        assert answer["finish_reason"] == "last_resort"
    return answer
