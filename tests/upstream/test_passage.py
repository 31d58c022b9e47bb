"""Where a request goes, with what key, and what travels along."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.fakes import a_request
from tests.upstream.calling import call, remote
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.test_client import KEY


async def test_azures_address_version_and_key_are_where_azure_has_them(
    faulty: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    url = f"http://127.0.0.1:{faulty.port}/openai/deployments/my-deployment"
    options: dict[str, Any] = {"query": {"api-version": "2024-10-21"}, "api_key_header": "api-key"}

    await call(faulty, "healthy", base_url=url, api_key_env="TEST_KEY", **options)

    asked = faulty.requests[-1]
    assert asked.target == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(("prefix", "told"), [("The quick", "true"), ("", None)])
async def test_a_service_of_ours_is_told_to_carry_on_with_a_text(
    faulty: FaultyUpstream, prefix: str, told: str | None
) -> None:
    await call(faulty, "healthy", replace(a_request(), prefix=prefix))

    assert faulty.requests[-1].headers.get("x-neverblank-continue") == told


async def test_what_is_left_of_the_deadline_travels_along(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "healthy") as upstream:
        await upstream.start(a_request(timeout_s=30.0), 5.0)
        await upstream.start(a_request(timeout_s=2.0), 300.0)

    assert [each.headers["x-neverblank-timeout"] for each in faulty.requests] == ["5.000", "2.000"]
    assert faulty.requests[-1].headers["x-neverblank-via"]
