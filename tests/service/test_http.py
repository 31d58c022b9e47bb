"""The HTTP surface of a real service: what it says of itself, and what it says to a bad request."""

import json

import httpx
import pytest

from tests.service.opening import COUNT, Opening
from tests.service.service import Service

BAD_BODIES = {
    "not JSON": (b"What is the capital of France?", 400, "body"),
    "no object": (b'["Hello"]', 400, "body"),
    "no text field": (b'{"model": "smollm2"}', 400, "text"),
    "unknown keys only": (b'{"txt": "Hello"}', 400, "text"),
    "empty text": (b'{"text": ""}', 400, "text"),
    "a number for a text": (b'{"text": 5}', 400, "text"),
    "ten megabytes": (json.dumps({"text": "a" * 10_000_000}).encode(), 413, "body"),
    "invalid UTF-8": (b'{"text": "\xff\xfe"}', 400, "body"),
    "timeout 0": (b'{"text": "Hello", "timeout": 0}', 400, "timeout"),
    "timeout -1": (b'{"text": "Hello", "timeout": -1}', 400, "timeout"),
    "timeout x": (b'{"text": "Hello", "timeout": "x"}', 400, "timeout"),
    "timeout NaN": (b'{"text": "Hello", "timeout": NaN}', 400, "body"),
    "timeout above the cap": (b'{"text": "Hello", "timeout": 100000}', 400, "timeout"),
    "100,000 brackets": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "body"),
}


def explained(response: httpx.Response, status: int, field: str) -> None:
    """Require an error object that names `field` and what is accepted, and a result that is not blank."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["error"]["field"] == field
    assert body["error"]["accepted"]
    assert body["result"].strip()
    assert body["request_id"]


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_explained(service: Service, case: str) -> None:
    body, status, field = BAD_BODIES[case]

    explained(service.http.post("/v1/infer", content=body), status, field)


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "100000"])
def test_a_bad_timeout_header_is_explained(service: Service, value: str) -> None:
    response = service.http.post("/v1/infer", json={"text": "Hello"}, headers={"x-request-timeout-seconds": value})

    explained(response, 400, "x-request-timeout-seconds")


def test_a_wrong_method_is_explained(service: Service) -> None:
    explained(service.http.get("/v1/infer"), 405, "method")


def test_a_wrong_path_is_explained(service: Service) -> None:
    response = service.http.post("/v1/infr", json={"text": "Hello"})

    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")
    assert "/v1/infr" in response.json()["error"]["message"]


def test_bad_requests_reach_no_model_open_no_breaker_and_log_no_stack_trace(service: Service, opening: Opening) -> None:
    opening.end(within_s=150.0)  # these requests are counted, too
    before = service.status()["answers"]
    for body, _, _ in BAD_BODIES.values():
        service.http.post("/v1/infer/faulty", content=body)
    after = service.status()

    assert after["answers"] == before
    assert after["models"]["faulty"]["breaker"] == "closed"
    assert "Traceback" not in "".join(x for x in service.log.splitlines() if ":Router" in x)


def test_the_deadline_can_be_set_by_header(service: Service) -> None:
    response = service.http.post(
        "/v1/infer/faulty",
        json={"text": "Hello", "fault": "hang", "tiers": ["primary"]},
        headers={"x-request-timeout-seconds": "1.5"},
    )

    assert response.json()["served_by"] == "last_resort"
    assert response.elapsed.total_seconds() <= 1.6


def test_the_headers_say_who_answered(service: Service) -> None:
    response = service.http.post(
        "/v1/infer/faulty",
        json={"text": "Hello", "fault": "raise", "max_tokens": 4},
        headers={"x-request-id": "my-own-id"},
    )

    assert response.headers["x-request-id"] == "my-own-id" == response.json()["request_id"]
    assert response.headers["x-neverblank-served-by"] == "backup"
    assert response.headers["x-neverblank-attempts"] == "primary/faulty=failed, backup/backup=answered"


def test_models_are_listed_with_their_states(service: Service) -> None:
    states = {model["id"]: model["state"] for model in service.http.get("/v1/models").json()["data"]}

    assert states["smollm2"] == states["backup"] == "ready"
    assert states["slow"] == "loading"
    assert states["broken"] == states["invalid"] == "failed"


def test_readiness_names_the_tiers(service: Service) -> None:
    response = service.http.get("/readyz")

    assert response.status_code == 200
    assert response.json()["tiers"] == {"primary": True, "backup": True, "last_resort": True}


def test_the_process_says_that_it_is_alive(service: Service) -> None:
    assert service.http.get("/healthz").status_code == 200


def test_the_status_shows_replicas_breakers_and_counts(service: Service) -> None:
    status = service.status()

    assert status["models"]["smollm2"]["replicas"]["running"] == 1
    assert status["models"]["smollm2"]["breaker"] == "closed"
    assert status["backup"]["device"] == "cpu"
    assert set(status["answers"]) == {"primary", "backup", "cache", "last_resort"}


def test_any_json_can_be_the_input_of_a_model_that_is_no_language_model(service: Service) -> None:
    body = {"input": {"rows": [[1, 2], [3, 4]]}, "fault": "return", "value": {"sum": 10}}

    answer, _ = service.ask(body, "faulty")

    assert answer["result"] == {"sum": 10}


def test_every_request_from_the_moment_at_which_a_router_answers_is_answered_by_a_model(
    service: Service, opening: Opening
) -> None:
    service.wait_ready("smollm2")

    opening.end(within_s=150.0)

    assert len(opening.answers) == COUNT, opening.early
    by_no_model = [answer for answer in opening.answers if answer[1].get("served_by") not in {"primary", "backup"}]
    assert by_no_model == [], opening.early


def test_the_status_is_that_of_all_routers_and_names_what_is_wrong(service: Service) -> None:
    status = service.status()

    assert len(status["routers"]) == 2
    assert status["unheard"] == {}
    assert sum(status["answers"].values()) == sum(sum(each["answers"].values()) for each in status["routers"])
    wrong = {problem["where"]: problem["what"] for problem in status["problems"] if problem["severity"] == "error"}
    assert "has failed" in wrong["model broken"]


def test_a_fallback_is_found_whichever_router_is_asked(service: Service) -> None:
    answer, _ = service.ask({"text": "a secret", "fault": "raise", "max_tokens": 4}, "faulty")

    for _ in range(4):
        told = service.http.get("/v1/fallbacks", params={"since": "5m", "model": "faulty", "limit": 1000})
        (found,) = [each for each in told.json()["fallbacks"] if each["request_id"] == answer["request_id"]]
        assert [attempt["outcome"] for attempt in found["attempts"]] == ["failed", "answered"]
        assert "secret" not in told.text
