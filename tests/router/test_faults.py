"""Whose fault is it? A remote's trouble through a whole router: what its caller gets, and what others get meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from deployments.router.router import Router
from deployments.upstream.causes import Cause
from tests.http.wire import CHAT, send
from tests.router.test_last_resort import a_ready_router
from tests.upstream.dialects import ACCOUNT, DIALECTS
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

CALLERS = frozenset({Cause.CONTENT, Cause.INVALID})
UNSURE = "error-unsure-"
"""Refusals that may be another's fault than the caller's."""

WITHOUT_FALLBACK = {"x-neverblank-fallback": "false"}


@asynccontextmanager
async def router_of(faulty: FaultyUpstream, *scenarios: str, **policy: Any) -> AsyncIterator[Router]:
    """A router whose remote models are these scenarios, in lower case, each with those behind it as its fallbacks."""
    url = f"http://127.0.0.1:{faulty.port}/v1"
    names = [scenario.lower() for scenario in scenarios]
    remotes = {
        name: {"base_url": url, "model": scenario, "fallbacks": names[place + 1 :]}
        for place, (name, scenario) in enumerate(zip(names, scenarios, strict=True))
    }
    router = await a_ready_router(remotes=remotes, **policy)
    yield router
    await router._upstreams.aclose()


async def chat(router: Router, model: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return await send(router, "/v1/chat/completions", {**CHAT, "model": model, **more}, headers=headers)


def require_no_account(response: httpx.Response) -> None:
    told = (response.text + str(response.headers)).lower()
    assert [word for word in ACCOUNT if word in told] == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", DIALECTS)
async def test_only_what_the_caller_can_mend_is_told_to_the_caller(
    faulty: FaultyUpstream, name: str, *, stream: bool
) -> None:
    dialect = DIALECTS[name]
    async with router_of(faulty, name, "healthy") as router:
        response = await chat(router, name, stream=stream)

    require_no_account(response)
    if dialect.cause in CALLERS and not name.startswith(UNSURE):
        assert response.status_code == 400
        assert response.json()["error"]["code"] == (dialect.code or None)
    elif dialect.cause is Cause.WITHHELD:
        assert response.headers["x-neverblank-degraded"] == "false"
        assert '"finish_reason":"content_filter"' in response.text
        assert "fox" not in response.text
    else:
        assert response.status_code == 200
        assert f"primary/{name.replace('/', '%2F')}=" in response.headers["x-neverblank-attempts"]
        assert "fox" in response.text


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_wrong_with_a_translated_request_is_left_to_another_model(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    asked = {**CHAT, "model": "error-invalid-openai", "max_tokens": 50, "stream": stream}
    async with router_of(faulty, "error-invalid-openai", "healthy") as router:
        answered = await send(router, "/v1/messages", asked)
        alone = await send(router, "/v1/messages", asked, headers=WITHOUT_FALLBACK)
    async with router_of(faulty, "error-content-azure", "healthy") as router:
        content = await send(router, "/v1/messages", asked | {"model": "error-content-azure"})

    assert (answered.status_code, "fox" in answered.text) == (200, True)
    assert "error-invalid-openai=rejected" in answered.headers["x-neverblank-attempts"]
    assert (alone.status_code, content.status_code) == (400, 400)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [name for name in DIALECTS if name.startswith(UNSURE)])
async def test_a_refusal_that_names_no_mistake_is_the_callers_only_where_nobody_else_answers(
    faulty: FaultyUpstream, name: str, *, stream: bool
) -> None:
    async with router_of(faulty, name, "healthy") as router:
        answered = await chat(router, name, stream=stream)
        alone = await chat(router, name, stream=stream, headers=WITHOUT_FALLBACK)
    async with router_of(faulty, name, "status-500") as router:
        unanswered = await chat(router, name, stream=stream, tiers=["primary"])

    assert (answered.status_code, "fox" in answered.text) == (200, True)
    assert f"primary/{name}=rejected" in answered.headers["x-neverblank-attempts"]
    for response in (alone, unanswered):
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_too_long_for_every_model_is_the_callers_with_the_code(
    faulty: FaultyUpstream, *, stream: bool
) -> None:
    async with router_of(faulty, "error-too-long-openai", "error-too-long-anthropic") as router:
        response = await chat(router, "error-too-long-openai", stream=stream, tiers=["primary"])

    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert faulty.counts == {"error-too-long-openai": 1, "error-too-long-anthropic": 1}


async def test_a_rejected_content_has_a_result_and_the_code_in_the_native_api(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, "error-content-azure") as router:
        response = await send(router, "/v1/infer/error-content-azure", {"text": "Hi"})

    assert (response.status_code, response.json()["error"]["code"]) == (400, "content_filter")
    assert response.json()["result"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "outcome"),
    [("error-content-azure", "rejected"), ("error-withheld-azure-in-200", "withheld"), ("filtered", "withheld")],
)
async def test_the_policy_can_have_either_rescued_and_says_so(
    faulty: FaultyUpstream, name: str, outcome: str, *, stream: bool
) -> None:
    async with router_of(faulty, name, "healthy", rescue={"content_filter": True}) as router:
        response = await chat(router, name, stream=stream)

    assert response.headers["x-neverblank-attempts"].startswith(f"primary/{name}={outcome}")
    assert '"rescued":true' in response.text
    assert "fox" in response.text


async def test_an_answer_that_is_withheld_in_the_middle_is_not_continued_by_another_model(
    faulty: FaultyUpstream,
) -> None:
    async with router_of(faulty, "withheld-after-3", "healthy") as router:
        response = await chat(router, "withheld-after-3", stream=True)

    assert '"finish_reason":"content_filter"' in response.text
    assert "jumps" not in response.text
    assert faulty.counts == {"withheld-after-3": 1}


@pytest.mark.parametrize("name", ["wait-20-s", "wait-in-words", "wait-until-reset", "busy-20-s"])
async def test_a_pause_holds_for_other_requests_too_and_opens_no_breaker(faulty: FaultyUpstream, name: str) -> None:
    async with router_of(faulty, name, "healthy") as router:
        responses = [await chat(router, name) for _ in range(12)]
        told = router.describe()["models"][name]

    assert faulty.counts[name] == 1
    assert all("fox" in response.text for response in responses)
    assert "it asked for a pause, of which" in responses[-1].text
    assert told["breaker"] == "closed"


async def test_without_fallback_the_last_resort_says_when_to_come_back(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, "wait-20-s") as router:
        first = await chat(router, "wait-20-s", headers=WITHOUT_FALLBACK)
        second = await chat(router, "wait-20-s", headers=WITHOUT_FALLBACK)

    assert first.headers["retry-after"] == "20"
    assert int(second.headers["retry-after"]) in {19, 20}
    assert faulty.counts == {"wait-20-s": 1}


async def test_connections_that_died_idle_close_no_model(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, "closes-when-idle") as router:
        for _ in range(30):
            response = await chat(router, "closes-when-idle")
            assert response.headers["x-neverblank-attempts"] == "primary/closes-when-idle=answered"


async def test_a_fallback_that_takes_no_prefill_goes_on_before_a_weaker_model_does(faulty: FaultyUpstream) -> None:
    async with router_of(faulty, "cut-after-3", "no-prefill") as router:
        response = await chat(router, "cut-after-3", stream=True)

    words = [part.split('"')[0] for part in response.text.split('"content":"')[1:]]
    assert "".join(words) == TEXT
    assert "from the backup" not in response.text
