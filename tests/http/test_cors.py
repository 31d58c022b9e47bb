"""Pages of other origins in a browser, what does not exist, and which methods there are."""

from typing import Any

import httpx
import pytest

from deployments.http.asgi import build_asgi
from tests.http.service import ScriptedService
from tests.http.wire import CHAT, send

HERE, ELSEWHERE = "https://app.example.com", "https://evil.example.com"
PATH = "/v1/chat/completions"


async def ask(service: ScriptedService, method: str, path: str = PATH, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(build_asgi(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        sent: dict[str, Any] = {"json": CHAT} if method == "POST" else {}
        return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}, **sent)


async def preflight(service: ScriptedService, origin: str) -> httpx.Response:
    wanted = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,x-stainless-os"}
    return await ask(service, "OPTIONS", origin=origin, **wanted)


@pytest.mark.parametrize("origins", [(HERE,), ("*",)])
async def test_a_page_of_an_origin_that_is_allowed_may_ask_and_read_who_has_answered(origins: tuple[str, ...]) -> None:
    service = ScriptedService(origins=origins)

    before, answer = await preflight(service, HERE), await ask(service, "POST", origin=HERE)

    assert (before.status_code, service.asked == [] or answer.status_code) == (200, 200)
    assert before.headers["access-control-allow-origin"] in {HERE, "*"}
    assert "POST" in before.headers["access-control-allow-methods"]
    assert "authorization" in before.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] in {HERE, "*"}
    assert "x-neverblank-served-by" in answer.headers["access-control-expose-headers"]


async def test_such_a_page_may_read_whether_and_when_to_ask_again() -> None:
    answer = await ask(ScriptedService(origins=(HERE,)), "POST", origin=HERE)

    told = answer.headers["access-control-expose-headers"].split(", ")
    assert {"retry-after", "x-should-retry", "x-ratelimit-reset-requests", "anthropic-ratelimit-tokens-reset"} < {*told}


async def test_a_mistake_of_such_a_page_can_be_read_by_it_too() -> None:
    service = ScriptedService(origins=(HERE,))

    missing = await ask(service, "POST", "/v1/nothing", origin=HERE)

    assert (missing.status_code, missing.headers["access-control-allow-origin"]) == (404, HERE)


async def test_a_page_of_any_other_origin_may_not() -> None:
    service = ScriptedService(origins=(HERE,))

    before, answer = await preflight(service, ELSEWHERE), await ask(service, "POST", origin=ELSEWHERE)

    assert (before.status_code, answer.status_code, service.asked) == (400, 403, [])
    assert "access-control-allow-origin" not in answer.headers


async def test_nobody_may_where_no_origin_is_named_and_the_methods_are_told_all_the_same() -> None:
    before, answer = await preflight(ScriptedService(), HERE), await ask(ScriptedService(), "POST", origin=HERE)

    assert (before.status_code, before.headers["allow"]) == (204, "POST, OPTIONS")
    assert not [name for name in (*before.headers, *answer.headers) if name.startswith("access-control")]


async def test_the_origins_may_change_while_the_service_runs() -> None:
    service = ScriptedService(origins=(HERE,))
    app = build_asgi(service)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for origins, expected in (((HERE,), None), ((ELSEWHERE,), ELSEWHERE), ((), None)):
            service.origins = origins
            answer = await client.get("/v1/models", headers={"origin": ELSEWHERE})
            assert answer.headers.get("access-control-allow-origin") == expected


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "told"),
    [
        ("POST", "/v1/chat/completion", 404, "unknown_url", "path /v1/chat/completion does not exist (POST)"),
        ("GET", PATH, 405, "method_not_supported", f"GET is not allowed at {PATH}"),
        ("DELETE", "/v1/models/m", 405, "method_not_supported", "DELETE is not allowed at /v1/models/m"),
        ("GET", "/v1/%00" + "x" * 500, 404, "unknown_url", "path /v1/" + "x" * 195 + "\u2026"),
    ],
)
async def test_what_does_not_exist_is_told_in_openais_form_with_the_path(
    method: str, path: str, status: int, code: str, told: str
) -> None:
    response = await ask(ScriptedService(), method, path)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert told in error["message"]


async def test_the_same_beside_it_is_told_in_the_native_form() -> None:
    for path in ("/nothing", "/v1/infer-a/b"):
        body = (await send(ScriptedService(), path)).json()
        assert (body["error"]["field"], path in body["result"]) == ("path", True)
