"""The status as server-sent events: told again and again, and to a bounded number of callers."""

import json

import pytest
from starlette.requests import Request

from deployments.http.status_events import MOST_WATCHERS, StatusEvents
from deployments.policy.problem import InvalidRequestError
from tests.http.service import ScriptedService

ASKED = Request({"type": "http", "headers": []})


@pytest.mark.looptime
async def test_the_status_and_the_last_fallbacks_are_told_once_a_second() -> None:
    told = StatusEvents(ScriptedService()).tell()
    first, second = await anext(told), await anext(told)

    assert json.loads(second.removeprefix(b"data: "))["status"] == {"in_flight": 0}
    assert "fallbacks" in json.loads(first.removeprefix(b"data: "))


@pytest.mark.looptime
async def test_a_watcher_too_many_is_refused_until_another_one_leaves() -> None:
    events = StatusEvents(ScriptedService())
    watchers = [events.tell() for _ in range(MOST_WATCHERS)]
    for each in watchers:
        await anext(each)

    with pytest.raises(InvalidRequestError) as refused:
        await events.respond(ASKED)
    await watchers[0].aclose()

    assert refused.value.problem.status == 503
    assert (await events.respond(ASKED)).status_code == 200
