"""The pages: what they load, and from where."""

import re

import pytest

from deployments.http.pages import _pages
from tests.http.service import ScriptedService
from tests.http.wire import send


@pytest.mark.parametrize("page", ["/", "/docs"])
async def test_a_page_loads_its_parts_from_this_service_and_runs_nothing_else(page: str) -> None:
    response = await send(ScriptedService(), page)
    loaded = re.findall(r'(?:src|href)="(static/[^"]+)"', response.text)

    assert "script-src 'self'" in response.headers["content-security-policy"]
    assert not re.search(r"<script>|<style>|\son\w+=|style=", response.text)
    assert len(loaded) == 2
    for part in loaded:
        assert (await send(ScriptedService(), f"/{part}")).status_code == 200


@pytest.mark.parametrize("name", ["openapi.yaml", "../pages.py", "nothing.js"])
async def test_nothing_but_the_parts_of_pages_is_handed_out(name: str) -> None:
    response = await send(ScriptedService(), f"/static/{name}")

    assert response.status_code == 404


def test_no_part_loads_anything_from_another_host() -> None:
    for name, (content, _) in _pages().items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), name
