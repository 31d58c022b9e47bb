"""The status as server-sent events: told again and again, for a bounded time, and to a bounded number of callers."""

import asyncio
import json
from typing import Any

import pytest

from deployments.http import status_events
from deployments.http.asgi import build_asgi
from deployments.http.status_events import MOST_WATCHERS
from deployments.policy.problem import InvalidRequestError, Problem
from tests.http.service import ScriptedService

pytestmark = pytest.mark.looptime


class Watcher:
    """Watches, and takes the first piece of a body after `holds_s` seconds."""

    def __init__(self, holds_s: float = 0.0) -> None:
        self.status, self.text, self.holds_s, self.ended = 0, "", holds_s, False

    async def watch(self, app: Any) -> "Watcher":
        scope = {"type": "http", "method": "GET", "path": "/status/events", "headers": [], "query_string": b""}
        await app(scope, self._receive, self._take)
        return self

    @property
    def told(self) -> list[Any]:
        return [json.loads(each[6:]) for each in self.text.split("\n\n") if each.startswith("data: ")]

    async def _receive(self) -> Any:
        await asyncio.Event().wait()

    async def _take(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()
        self.ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        hold, self.holds_s = (self.holds_s, 0.0) if message.get("body") else (0.0, self.holds_s)
        await asyncio.sleep(hold)


async def test_the_status_and_the_last_fallbacks_are_told_once_a_second_for_ten_minutes() -> None:
    watcher = await Watcher().watch(build_asgi(ScriptedService()))

    assert (len(watcher.told), watcher.ended) == (600, True)
    assert all(each["status"] == {"in_flight": 0} and "fallbacks" in each for each in watcher.told)


async def test_a_watcher_who_does_not_read_when_the_time_is_over_is_told_the_end_when_he_does() -> None:
    watcher = await Watcher(holds_s=700.0).watch(build_asgi(ScriptedService()))

    assert (len(watcher.told), watcher.ended, asyncio.get_running_loop().time()) == (1, True, 701.0)


async def test_a_watcher_too_many_is_refused_until_another_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_events, "WATCHED_S", 5.0)
    app = build_asgi(ScriptedService())

    watchers = await asyncio.gather(*(Watcher().watch(app) for _ in range(MOST_WATCHERS + 2)))
    later = await Watcher().watch(app)

    assert [each.status for each in watchers] == [200] * MOST_WATCHERS + [429] * 2
    assert later.status == 200


async def test_a_second_in_which_too_many_others_ask_is_left_out_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_events, "WATCHED_S", 5.0)
    asked = 0

    async def refused_once(_: ScriptedService) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise InvalidRequestError(Problem("query", "is one of too many at a time", "a moment later", 429))
        return {"asked": asked}

    monkeypatch.setattr(ScriptedService, "status_of_all", refused_once)
    watcher = await Watcher().watch(build_asgi(ScriptedService()))

    assert [each["status"]["asked"] for each in watcher.told] == [1, 3, 4, 5]
    assert (watcher.status, watcher.ended) == (200, True)
