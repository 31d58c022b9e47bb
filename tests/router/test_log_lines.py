"""What a router tells its operators of what changes in it."""

import asyncio
from typing import Any

import pytest

from deployments.observability.logger import MAX_TEXT_CHARACTERS
from deployments.policy.outcome import Answered, Failed, Outcome
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.router.test_take_over import a_router
from tests.serving import FakeCluster, Replica, application

pytestmark = pytest.mark.looptime


class Scripted(Replica):
    """Gives its outcomes one after the other."""

    def __init__(self, *outcomes: Outcome) -> None:
        super().__init__()
        self.outcomes = list(outcomes)

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        return self.outcomes.pop(0)


def told(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The lines of one event, without their times."""
    return [
        {key: line[key] for key in line if key not in {"timestamp", "event"}}
        for line in events
        if line["event"] == name
    ]


async def test_a_breaker_that_opens_and_closes_is_told_with_the_model_and_the_reason(
    events: list[dict[str, Any]],
) -> None:
    cluster, backup = FakeCluster(a=application("a")), Replica()
    cluster.replicas["a"] = Scripted(Failed("boom"), Answered("well again"))
    policy = PolicySettings().with_overrides({"breaker": {"failures": 1, "open_seconds": 5}}, {})
    router = Router(cluster, backup, "backup", policy)  # which is told of no demand here
    await router._registry.refresh()

    await router.infer({"text": "Hi"}, "a")
    assert told(events, "breaker_changed") == [
        {"level": "warning", "model": "a", "before": "closed", "after": "open", "reason": "boom"}
    ]

    await asyncio.sleep(10.0)
    await router.infer({"text": "Hi"}, "a")
    changes = [(line["level"], line["before"], line["after"]) for line in told(events, "breaker_changed")[1:]]
    assert changes == [("warning", "open", "halfopen"), ("info", "halfopen", "closed")]


@pytest.mark.parametrize("log_content", [False, True])
async def test_what_a_models_code_says_of_a_request_is_in_a_line_only_where_content_may_be_logged(
    events: list[dict[str, Any]], *, log_content: bool
) -> None:
    cluster, backup = FakeCluster(a=application("a")), Replica()
    cluster.replicas["a"] = Scripted(Failed("ValueError: my secret", log_reason="ValueError in infer"))
    overrides = {"breaker": {"failures": 1}, "log_content": log_content}
    policy = PolicySettings().with_overrides(overrides, {})
    router = Router(cluster, backup, "backup", policy)  # which is told of no demand here
    await router._registry.refresh()

    answer = await router.infer({"text": "my secret"}, "a")

    assert answer["attempts"][0]["reason"] == "ValueError: my secret"
    (fallback,), (opened,) = told(events, "fallback"), told(events, "breaker_changed")
    assert ("my secret" in repr(fallback)) is log_content
    assert opened["reason"] == "ValueError in infer"


@pytest.mark.parametrize("log_content", [False, True])
async def test_a_line_has_the_end_of_a_chat_only_where_content_may_be_logged(
    events: list[dict[str, Any]], *, log_content: bool
) -> None:
    cluster, backup = FakeCluster(a=application("a")), Replica()
    cluster.replicas["a"] = Scripted(*[Failed("boom")] * 2)
    router = Router(cluster, backup, "backup", PolicySettings().with_overrides({"log_content": log_content}, {}))
    await router._registry.refresh()
    short = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "my secret"}]
    long = [{"role": "user", "content": "so " * 3000}, {"role": "assistant", "content": "Yes?"}, short[1]]

    await router.infer({"messages": short}, "a")
    await router.infer({"messages": long}, "a")

    lines = [line.get("text", "") for line in told(events, "fallback")]
    if not log_content:
        assert lines == ["", ""]
        return
    assert lines[0] == "system: Be brief.\nuser: my secret"
    assert lines[1].startswith("\u2026")
    assert lines[1].endswith("so so \nassistant: Yes?\nuser: my secret")
    assert len(lines[1]) == MAX_TEXT_CHARACTERS


async def test_a_policy_that_is_taken_over_is_told_as_what_differs_from_the_defaults(
    events: list[dict[str, Any]],
) -> None:
    a_router({}).reconfigure({"timeout_seconds": 7, "breaker": {"failures": 9}})

    assert told(events, "policy_changed")[-1] == {
        "level": "info",
        "policy": {"timeout_seconds": 7.0, "breaker": {"failures": 9}},
    }
