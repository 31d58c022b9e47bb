"""The endpoints of whoever operates the service: what they take, and what they refuse."""

import asyncio

import pytest

from deployments.http.asgi import build_asgi
from deployments.http.fallback_query import read_fallback_query
from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.problem import InvalidRequestError
from tests.http.service import ScriptedService
from tests.http.wire import send

NOON = 1769860800.0
"""2026-01-31, 12:00 in UTC."""


@pytest.mark.parametrize(
    ("since", "seconds"),
    [
        ("", 0),
        ("90s", NOON - 90),
        ("15m", NOON - 900),
        ("2h", NOON - 7200),
        ("1d", NOON - 86400),
        ("2026-01-31T11:00:00Z", NOON - 3600),
        ("2026-01-31T12:00:00+01:00", NOON - 3600),
        ("2026-01-31T12:00:00 01:00", NOON - 3600),
        ("2026-01-31T11:00:00", NOON - 3600),
        ("1769857200.5", NOON - 3600),
    ],
)
def test_a_time_is_read_as_whoever_looks_back_writes_it(since: str, seconds: float) -> None:
    assert read_fallback_query({"since": since}, NOON).since == seconds


@pytest.mark.parametrize(
    "query",
    [
        *({"since": since} for since in ("yesterday", "-1h", "1w", "nan", "inf", "\u0661m", "9" * 80)),
        {"since": "0001-01-01T00:00:00+23:00"},
        {"model": "x" * 129},
        *({"limit": limit} for limit in ("0", "-1", "1001", "1.5", "ten", "\u0661", "9" * 80)),
    ],
    ids=str,
)
def test_a_query_that_cannot_be_read_names_its_field(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_fallback_query(query, NOON)

    assert refused.value.problem.field in query


async def test_the_query_for_fallbacks_reaches_the_routers() -> None:
    service = ScriptedService()

    response = await send(service, "/v1/fallbacks?since=1769857200&model=a&limit=5")

    assert response.status_code == 200
    assert service.looked_back == [FallbackQuery(NOON - 3600, "a", 5)]


async def test_a_query_with_a_field_that_is_not_known_is_refused_in_the_form_of_its_path() -> None:
    response = await send(ScriptedService(), "/v1/fallbacks?sinse=1h")

    assert response.status_code == 400
    assert "since, model, limit" in response.json()["error"]["message"]


async def test_the_end_of_the_server_waits_for_the_end_of_its_background_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def run(_: ScriptedService) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    monkeypatch.setattr(ScriptedService, "run", run)
    app = build_asgi(ScriptedService())
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0)

    assert ended.is_set()
