"""Every dialect through a whole router, with a healthy model behind it: its answer, or that model's, and no mixture.

The service's own tests play some of them on a real Serve instance; here are all of them, in one process.
"""

import json
from typing import Any

import httpx
import pytest

from tests.http.wire import events as events_of
from tests.router.test_faults import chat, require_no_account, router_of
from tests.upstream.dialects import DIALECTS
from tests.upstream.exchange import TEXT, Exchange
from tests.upstream.faulty import SCENARIOS, SPOKEN, FaultyUpstream
from tests.upstream.scenarios import Scenario
from tests.upstream.streamed import after_3

ANSWERS = frozenset({"stop", "length", "content_filter", "tool_calls"})
BEGUN = "The quick brown"
FILTERED = ("error-content-", "error-withheld-")
AMID = [name for name, dialect in DIALECTS.items() if dialect.body and not isinstance(dialect.body, str)]
"""The errors that can be an event of a stream."""


def told(response: httpx.Response, *, stream: bool) -> tuple[str, list[Any], str]:
    """The text, the tool calls and the finish reason that a caller gets."""
    assert response.status_code == 200, response.text
    if not stream:
        choice = response.json()["choices"][0]
        message = choice["message"]
        return (
            message["content"] or message.get("refusal") or "",
            message.get("tool_calls") or [],
            choice["finish_reason"],
        )
    chunks = [data for _, data in events_of(response) if data != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    texts = [delta.get("content") or delta.get("refusal") or "" for delta in deltas]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert len(reasons) == 1
    return "".join(texts), [call for delta in deltas for call in delta.get("tool_calls") or []], reasons[0]


def as_event(body: Any) -> Scenario:
    """The rest of a stream in which `body` is the last event."""

    async def play(exchange: Exchange) -> None:
        await exchange.event(json.dumps(body))
        await exchange.raw(b"0\r\n\r\n")

    return after_3(play)


@pytest.fixture
def breaking_off(faulty: FaultyUpstream, monkeypatch: pytest.MonkeyPatch) -> FaultyUpstream:
    """The faulty upstream, whose scenarios of errors are streams that end with that error behind three pieces."""
    for name in AMID:
        monkeypatch.setitem(SCENARIOS, name, as_event(DIALECTS[name].body))
    return faulty


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SPOKEN)
async def test_an_answer_in_a_dialect_is_given_and_one_that_is_none_is_the_next_models(
    faulty: FaultyUpstream, name: str, *, stream: bool
) -> None:
    dialect = SPOKEN[name]
    async with router_of(faulty, name, "healthy") as router:
        text, calls, reason = told(await chat(router, name.lower(), stream=stream), stream=stream)

    if dialect.ends in ANSWERS:
        assert (text, reason) == (dialect.says, dialect.ends)
        assert [call["function"]["name"] for call in calls] == [called for called, _ in dialect.calls]
        assert faulty.counts["healthy"] == 0
    else:
        assert (text, calls, reason) == (TEXT, [], "stop")
        assert faulty.counts["healthy"] == 1


@pytest.mark.parametrize("name", AMID)
async def test_a_stream_that_breaks_off_with_an_error_is_ended_by_the_next_model_unless_a_filter_has_decided(
    breaking_off: FaultyUpstream, name: str
) -> None:
    async with router_of(breaking_off, name, "healthy") as router:
        response = await chat(router, name, stream=True)

    require_no_account(response)
    text, _, reason = told(response, stream=True)
    if name.startswith(FILTERED):
        assert (text, reason) == (BEGUN, "content_filter")
        assert breaking_off.counts["healthy"] == 0
    else:
        assert (text, reason) == (TEXT, "stop")
        assert breaking_off.counts["healthy"] == 1
