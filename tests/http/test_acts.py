"""What an operator does by hand, over HTTP: what is read, and what is refused."""

from typing import Any

import pytest

from deployments.request.acts import Act, ActKind
from tests.http.service import ScriptedService
from tests.http.wire import send


@pytest.mark.parametrize(
    ("body", "act"),
    [
        ({"act": "hold", "model": "m"}, Act(ActKind.HOLD, "m")),
        ({"act": "drain", "model": "m"}, Act(ActKind.DRAIN, "m")),
        ({"act": "shift", "share": 0.25}, Act(ActKind.SHIFT, share=0.25)),
    ],
)
async def test_an_act_is_done_and_tells_in_how_many_routers(body: dict[str, Any], act: Act) -> None:
    service = ScriptedService()

    response = await send(service, "/admin/acts", body)

    assert (response.status_code, response.json()) == (200, {"routers": 1, "unheard": {}})
    assert service.acts == [act]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "act"),
        ({"act": "explode"}, "act"),
        ({"act": ["hold"]}, "act"),
        ({"act": "hold"}, "model"),
        ({"act": "hold", "model": ""}, "model"),
        ({"act": "hold", "model": "m" * 1000}, "model"),
        ({"act": "hold", "model": "m", "share": 0.5}, "share"),
        ({"act": "shift"}, "share"),
        ({"act": "shift", "share": 1.5}, "share"),
        ({"act": "shift", "share": True}, "share"),
        ({"act": "shift", "share": 0.5, "model": "m"}, "model"),
        ({"act": "hold", "model": "m", "now": 1}, "now"),
    ],
)
async def test_what_is_no_act_is_refused_by_its_field_and_nothing_is_done(body: dict[str, Any], field: str) -> None:
    service = ScriptedService()

    response = await send(service, "/admin/acts", body)

    assert (response.status_code, response.json()["error"]["field"]) == (400, field)
    assert service.acts == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[", "host": "test"}, 403),
        ({"origin": "http://other.test", "sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://ops.example", "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "https://public.example", "host": "inside:8000", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://test"}, 200),
        ({}, 200),
    ],
)
async def test_a_page_of_another_site_cannot_have_a_browser_act(headers: dict[str, str], status: int) -> None:
    service = ScriptedService(origins=("https://ops.example",))
    plain = {"content": b'{"act": "drain", "model": "m"}', "headers": {"content-type": "text/plain", **headers}}

    response = await send(service, "/admin/acts", **plain)

    assert (response.status_code, len(service.acts)) == (status, int(status == 200))
