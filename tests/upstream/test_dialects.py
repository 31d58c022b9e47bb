"""One good answer in each dialect of the providers is that answer, streamed and whole; half of one is none."""

import json
from typing import Any

import pytest

from deployments.policy.extras import Extras, combine
from deployments.policy.outcome import Answered, Finished, StreamPart
from tests.fakes import a_request, read_stream
from tests.upstream.calling import call, remote
from tests.upstream.faulty import SPOKEN, FaultyUpstream


def made(calls: Any) -> list[tuple[str, Any]]:
    """The calls by name and arguments, once they are known to be in OpenAI's form."""
    assert all(call["type"] == "function" and call["id"] for call in calls)
    assert len({call["id"] for call in calls}) == len(calls)
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


async def streamed(faulty: FaultyUpstream, name: str, **more: Any) -> tuple[str, Any, Extras]:
    """The text, the end and all that stands beside it."""
    async with remote(faulty, name, **more) as upstream:
        items = await read_stream(upstream, a_request())
    parts, end = items[:-1], items[-1]
    assert all(isinstance(part, StreamPart) for part in parts)
    extras = [part for part in parts if isinstance(part, Extras)]
    return (
        "".join(part for part in parts if isinstance(part, str)),
        end,
        combine([*extras, getattr(end, "extras", Extras())]),
    )


@pytest.mark.parametrize("name", SPOKEN)
async def test_a_streamed_answer_in_a_dialect_is_that_answer(faulty: FaultyUpstream, name: str) -> None:
    dialect = SPOKEN[name]

    text, end, extras = await streamed(faulty, name)

    assert text == dialect.says
    if not isinstance(end, Finished):
        assert type(end).__name__ == dialect.ends, end
        return
    assert end.finish_reason == dialect.ends
    assert made(end.tool_calls) == list(dialect.calls)
    assert (extras.message, end.skipped) == (dialect.beside, dialect.skipped)


@pytest.mark.parametrize("name", SPOKEN)
async def test_a_whole_answer_in_a_dialect_is_that_answer(faulty: FaultyUpstream, name: str) -> None:
    dialect = SPOKEN[name]

    outcome = await call(faulty, name)

    if not isinstance(outcome, Answered):
        assert type(outcome).__name__ == dialect.ends, outcome
        return
    assert outcome.result == (dialect.says or {"tool_calls": list(outcome.tool_calls)})
    assert outcome.finish_reason == dialect.ends
    assert made(outcome.tool_calls) == list(dialect.calls)
    assert (outcome.extras.message, outcome.skipped) == (dialect.beside, dialect.skipped)
