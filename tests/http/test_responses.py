"""Headers and statuses of responses, what is turned away, and what describes the endpoints."""

from typing import Any

import pytest
from openapi_spec_validator import validate

from deployments.http.asgi import build_asgi
from deployments.http.pages import openapi
from deployments.http.responses import headers_of
from deployments.policy.attempt import Candidate, Ended, Tier
from deployments.policy.outcome import Answered, Failed
from deployments.policy.problem import Problem
from deployments.request.controls import CONTROL_HEADERS
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort
from tests.http.wire import BROKEN_OFF, CHAT, ENDPOINTS, send

# --- headers and statuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_headers_tell_who_has_answered(path: str, body: dict[str, Any], *, stream: bool) -> None:
    answered = Ended(Candidate(Tier.BACKUP, "b"), 0.0, 1.0, Answered("x"))
    answer = an_answer(model="b", served_by=Tier.BACKUP, degraded=True, attempts=(BROKEN_OFF, answered))

    headers = (await send(ScriptedService(answer), path, body | {"stream": stream})).headers

    assert (headers["x-neverblank-served-by"], headers["x-neverblank-degraded"]) == ("backup", "true")
    assert headers["x-neverblank-attempts"] == "primary/a=failed, backup/b=answered"


async def test_many_attempts_make_no_head_that_proxies_refuse() -> None:
    many = tuple(Ended(Candidate(Tier.PRIMARY, f"{'m' * 60}{place}"), 0.0, 1.0, Failed("x")) for place in range(200))

    response = await send(ScriptedService(an_answer(attempts=many)), "/v1/infer", {"text": "Hi"})

    first, *_, last = response.headers["x-neverblank-attempts"].split(", ")
    assert (first, last) == (f"primary/{'m' * 60}0=failed", "+187")
    assert len(response.json()["attempts"]) == 200


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_resort_has_the_status_of_the_policy(path: str, body: dict[str, Any], *, stream: bool) -> None:
    response = await send(ScriptedService(last_resort(), status=503), path, body | {"stream": stream})

    assert response.status_code == 503
    assert "Hel" in response.text if stream else MESSAGE in response.text


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_too_much_is_turned_away_unread_in_its_own_format(
    path: str, body: dict[str, Any], *, stream: bool
) -> None:
    service = ScriptedService(is_full=True)

    response = await send(service, path, body | {"stream": stream})

    assert (response.status_code, response.headers["retry-after"]) == (200, "1")
    assert MESSAGE in response.text
    assert response.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    assert service.asked == []


async def test_a_text_about_streams_asks_for_none() -> None:
    body = CHAT | {"messages": [{"role": "user", "content": 'Explain "stream": true to me.'}]}

    response = await send(ScriptedService(is_full=True), "/v1/chat/completions", body)

    assert response.headers["content-type"] == "application/json"


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ENDPOINTS[1:])
async def test_a_mistake_is_an_error_of_openais(path: str, body: dict[str, Any]) -> None:
    error = (await send(ScriptedService(), path, body | {"temperature": 9})).json()["error"]

    assert (error["type"], error["param"]) == ("invalid_request_error", "temperature")
    assert "temperature" in error["message"]


async def test_a_mistake_is_a_native_problem() -> None:
    problem = (await send(ScriptedService(), "/v1/infer", {"text": "Hi", "temperature": 9})).json()

    assert (problem["error"]["type"], problem["error"]["field"]) == ("invalid_request", "temperature")
    assert problem["result"]


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_model_calls_invalid_is_the_callers(path: str, body: dict[str, Any], *, stream: bool) -> None:
    service = ScriptedService(Problem("seed", "was refused by the model", "what it takes"))

    response = await send(service, path, body | {"stream": stream})

    assert response.status_code == 400
    error = response.json()["error"]
    assert "seed" in {error.get("param"), error.get("field")}


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_body_beyond_the_limit_is_refused_and_not_kept(path: str, body: dict[str, Any]) -> None:
    service = ScriptedService()

    response = await send(service, path, content=b"x" * 20_000)

    assert response.status_code == 413
    assert service.arriving == 0


async def test_models_are_listed_and_one_that_does_not_exist_is_not_found() -> None:
    assert (await send(ScriptedService(), "/v1/models/m")).json()["id"] == "m"
    missing = await send(ScriptedService(), "/v1/models/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


# --- the description --------------------------------------------------------------------------------


def test_the_description_is_valid_openapi_and_names_every_endpoint() -> None:
    validate(openapi())

    served = {getattr(route, "path_format", "") for route in build_asgi(ScriptedService()).routes} - {"/"}
    assert openapi()["paths"].keys() == served


def test_the_description_names_every_header_that_is_read_and_every_header_of_an_answer() -> None:
    document = openapi()
    described = {name: each["name"] for name, each in document["components"]["parameters"].items()}
    told = headers_of(an_answer(dropped=("image",), retry_after_s=1.0))

    for path in ("/v1/infer/{model}", *(path for path, _ in ENDPOINTS)):
        asked = document["paths"][path]["post"]
        named = {described[each["$ref"].rsplit("/", 1)[-1]] for each in asked["parameters"]}
        assert named - {"model"} == CONTROL_HEADERS
        assert asked["responses"]["200"]["headers"].keys() == told.keys()


@pytest.mark.parametrize("path", ["org%2Fname", "org/name", "org/name/"])
async def test_the_name_of_a_model_in_a_path_may_have_a_slash(path: str) -> None:
    service = ScriptedService()

    answer = await send(service, f"/v1/infer/{path}", {"text": "Hi"})
    described = await send(service, f"/v1/models/{path}")

    assert (answer.status_code, service.asked[0].model) == (200, "org/name")
    assert described.json()["error"]["code"] == "model_not_found"
    assert (await send(service, "/v1/models/")).json() == (await send(service, "/v1/models")).json()


async def test_the_description_is_served_for_programs_and_for_people() -> None:
    assert (await send(ScriptedService(), "/openapi.json")).json() == openapi()
    page = await send(ScriptedService(), "/docs")
    assert "openapi.json" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")


async def test_a_router_that_is_about_to_be_replaced_says_so() -> None:
    well = await send(ScriptedService(), "/healthz")
    failing = await send(ScriptedService(is_failing=True), "/healthz")

    assert (well.status_code, failing.status_code) == (200, 503)
    assert "not been looked for" in failing.json()["reason"]
