"""Drills: the faults that a caller injects meet his own request, and nobody else's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from deployments.policy.breaker import tell_nobody
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.terms import Terms
from deployments.router.drills import copied
from deployments.router.router import Router
from tests.http.wire import CHAT, events, send
from tests.router.test_last_resort import a_ready_router
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

FAILED = {"error": "failed", "blank": "blank", "garbage": "failed", "error@first": "failed", "cut": "failed"}


@asynccontextmanager
async def two_models(faulty: FaultyUpstream, *, enabled: bool = True, **policy: Any) -> AsyncIterator[Router]:
    """A router with two healthy remote models: `first`, and `second` as its fallback."""
    remote = {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": "healthy"}
    remotes = {"first": {**remote, "fallbacks": ["second"]}, "second": remote}
    router = await a_ready_router(remotes=remotes, drills={"enabled": enabled}, **policy)
    yield router
    await router._upstreams.aclose()


async def ask(router: Router, fault: str = "", **more: Any) -> httpx.Response:
    headers = {"x-neverblank-fault": fault} if fault else {}
    return await send(router, "/v1/chat/completions", {**CHAT, "model": "first", **more}, headers=headers)


def answered(response: httpx.Response) -> tuple[str, dict[str, Any]]:
    """The text of an answer, and what is said of it."""
    if "text/event-stream" not in response.headers["content-type"]:
        body = response.json()
        return body["choices"][0]["message"]["content"], body["neverblank"]
    chunks = [data for _, data in events(response) if data != "[DONE]"]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    return text, next(chunk["neverblank"] for chunk in reversed(chunks) if "neverblank" in chunk)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAILED)
async def test_an_injected_fault_fails_the_attempt_and_the_next_model_answers(
    faulty: FaultyUpstream, fault: str, *, stream: bool
) -> None:
    target = fault if "@" in fault else f"{fault}@first"
    async with two_models(faulty, retries={"max": 0}) as router:
        text, told = answered(await ask(router, target, stream=stream))

    assert text == TEXT
    assert told["served_by"] == "primary"
    assert told["degraded"] is True
    tried = [(attempt["model"], attempt["outcome"]) for attempt in told["attempts"]]
    assert tried[0] == ("first", FAILED[fault])
    assert tried[-1] == ("second", "answered")
    assert told["attempts"][0]["reason"].startswith("drill: ")


async def test_a_stream_that_is_cut_behind_some_words_is_continued_by_the_next_model(faulty: FaultyUpstream) -> None:
    async with two_models(faulty) as router:
        text, told = answered(await ask(router, "cut:2@first", stream=True))

    assert text.startswith(" ".join(TEXT.split()[:2]))
    assert told["attempts"][0]["model"] == "first"
    assert told["attempts"][0]["reason"].startswith("drill: ")
    assert len(told["attempts"]) > 1


async def test_a_model_that_hangs_is_failed_over_within_the_deadline(faulty: FaultyUpstream) -> None:
    async with two_models(faulty) as router:
        _, told = answered(await ask(router, "hang@first", timeout=2.0))

    assert told["attempts"][-1]["model"] == "second"
    assert told["attempts"][-1]["outcome"] == "answered"


async def test_no_drill_is_evidence_against_a_model_for_the_requests_beside_it(faulty: FaultyUpstream) -> None:
    async with two_models(faulty, breaker={"failures": 2}) as router:
        before = router.describe()["models"]
        for _ in range(20):
            await ask(router, "error@first")
        after = router.describe()["models"]
        _, told = answered(await ask(router))

    assert {key: after["first"][key] for key in ("breaker", "failure_rate")} == {
        key: before["first"][key] for key in ("breaker", "failure_rate")
    }
    assert [attempt["model"] for attempt in told["attempts"]] == ["first"]


async def test_both_tiers_can_be_made_to_fail_and_the_last_resort_is_seen(faulty: FaultyUpstream) -> None:
    async with two_models(faulty) as router:
        _, told = answered(await ask(router, "error, error@backup"))

    assert told["served_by"] == "last_resort"


async def test_where_the_policy_does_not_allow_drills_the_header_is_refused(faulty: FaultyUpstream) -> None:
    async with two_models(faulty, enabled=False) as router:
        response = await ask(router, "error")

    assert response.status_code == 403
    assert response.json()["error"]["param"] == "x-neverblank-fault"


@pytest.mark.parametrize(
    "fault", ["explode", "error:3", "cut:", "cut:-1", "cut:99999999", "error@", "error@last_resort", "error," * 9]
)
async def test_a_fault_that_is_none_is_refused_by_its_header(faulty: FaultyUpstream, fault: str) -> None:
    async with two_models(faulty) as router:
        response = await ask(router, fault)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "x-neverblank-fault"


def test_the_copy_of_what_a_router_knows_visits_no_single_observation_and_leaves_the_original_alone() -> None:
    class Number(float):
        def __deepcopy__(self, _: object) -> float:
            raise AssertionError("thousands of them are copied one by one")

    knows = ResilienceState(ResiliencePolicy(), tell_nobody, "backup")
    knows.latencies.add("a", Number(1.0), Terms())

    copied(knows).latencies.add("a", 9.0, Terms())

    assert knows.latencies.describe("a")["p95_s"] == 1.0
