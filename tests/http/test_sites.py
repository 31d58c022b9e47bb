"""What pages of other sites have a browser send to a service without keys; programs are not concerned."""

from pathlib import Path

import httpx
import pytest

from deployments.http.asgi import build_asgi
from deployments.settings import PolicySettings
from deployments.settings.access import AccessSettings
from tests.access.keys import bearer, write_keys
from tests.http.service import ScriptedService
from tests.http.wire import ENDPOINTS

OURS, EVIL, ALLOWED = "http://127.0.0.1:8000", "http://evil.example:8000", "https://app.example"
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64)"}


async def ask(service: ScriptedService, method: str, path: str, base: str = OURS, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx.ASGITransport(build_asgi(service))
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        return await client.request(method, path, headers=sent, content=b'{"text": "Hi"}' if method == "POST" else None)


@pytest.mark.parametrize("path", [*(path for path, _ in ENDPOINTS), "/v1/embeddings", "/v1/rerank", "/tokenize"])
@pytest.mark.parametrize("said", [{"origin": EVIL}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}])
async def test_what_a_page_of_another_site_posts_is_refused_and_no_model_is_asked(
    path: str, said: dict[str, str]
) -> None:
    service = ScriptedService(origins=(ALLOWED,))

    response = await ask(service, "POST", path, **said)

    assert (response.status_code, service.asked) == (403, [])
    assert "another site" in response.text


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"origin": OURS},
        {"origin": "https://public.example", "sec_fetch_site": "same-origin"},
        {"origin": ALLOWED, "sec_fetch_site": "cross-site"},
        {"origin": "chrome-extension://abcdef", "sec_fetch_site": "cross-site"},
        {"sec_fetch_mode": "cors", "accept_language": "*"},  # fetch of Node
    ],
)
async def test_programs_own_pages_named_origins_and_applications_are_answered(said: dict[str, str]) -> None:
    service = ScriptedService(origins=(ALLOWED,))

    assert (await ask(service, "POST", "/v1/infer", **said)).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("GET", "/status"), ("POST", "/v1/infer")])
async def test_a_page_whose_name_leads_to_this_machine_is_refused_whatever_it_asks_for(method: str, path: str) -> None:
    service = ScriptedService(origins=(ALLOWED,))

    response = await ask(service, method, path, EVIL, **BROWSER, origin=EVIL)

    assert (response.status_code, response.json()["error"].get("param", "host"), service.asked) == (403, "host", [])


@pytest.mark.parametrize(
    "base", [OURS, "http://localhost:8000", "http://[::1]:8000", "http://box:8000", "http://a.local", ALLOWED]
)
async def test_a_browser_may_ask_by_a_name_that_no_other_site_can_have(base: str) -> None:
    assert (await ask(ScriptedService(origins=(ALLOWED,)), "GET", "/healthz", base, **BROWSER)).status_code == 200


async def test_a_program_may_ask_by_any_name() -> None:
    assert (await ask(ScriptedService(), "POST", "/v1/infer", "http://nb.example.com")).status_code == 200


async def test_on_a_port_that_is_open_to_others_every_name_is_fine_and_other_sites_are_refused() -> None:
    service = ScriptedService()
    service.gate.prepare(PolicySettings(access=AccessSettings(keys=None, open=True)))()

    assert (await ask(service, "GET", "/healthz", "http://nb.example.com", **BROWSER)).status_code == 200
    assert (await ask(service, "POST", "/v1/infer", "http://nb.example.com", origin=EVIL)).status_code == 403


async def test_where_a_key_is_asked_for_browsers_send_nothing_by_themselves_and_every_page_with_one_is_answered(
    tmp_path: Path,
) -> None:
    service, made = ScriptedService(), write_keys(tmp_path / "keys.yaml", k={})
    service.gate.prepare(PolicySettings(access=AccessSettings(keys=str(tmp_path / "keys.yaml"), open=False)))()

    assert (await ask(service, "POST", "/v1/infer", EVIL, **bearer(made["k"]), origin=EVIL)).status_code == 200
