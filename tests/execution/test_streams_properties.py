"""Whatever tokens, failures and stalls come in whatever order: no loss, no repetition, exactly one end."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.policy.attempt import Candidate, Tier
from deployments.policy.blank import is_blank
from deployments.policy.outcome import Blank, Failed, Finished, Refused, StreamEnd, TimedOut
from tests.execution.driving import ANSWER_BY, BACKUP, A, B, let_losers_go
from tests.execution.streaming import LAST_RESORT, Read, read
from tests.fakes import run_virtually
from tests.streamers import HANGS, Beat, Script, ScriptedStreamer

SECONDS = st.sampled_from([0.0, 0.0, 0.17, 1.03, 4.9, 6.1])
PIECES = st.sampled_from(["a", "b ", " c", "\n", "", " ", "dé", "word "])
OUTCOMES: list[StreamEnd] = [
    Finished("stop"),
    Finished("length"),
    Failed("reset", transient=True),
    Failed("boom"),
    TimedOut("late"),
    Blank(),
    Refused("full"),
]
ENDS = st.sampled_from(OUTCOMES) | st.builds(RuntimeError, st.just("bug"))


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Texts with pauses, then an end, a stall or nothing at all."""
    beats = [Beat(piece, seconds) for piece, seconds in draw(st.lists(st.tuples(PIECES, SECONDS), max_size=6))]
    match draw(st.sampled_from(["ends", "hangs", "is cut"])):
        case "ends":
            return [*beats, Beat(draw(ENDS), draw(SECONDS))]
        case "hangs":
            return [*beats, Beat("never", HANGS)]
        case _:
            return beats


CASTS = st.tuples(
    st.sampled_from([(A,), (BACKUP,), (A, BACKUP), (A, B, BACKUP)]),
    st.lists(st.lists(scripts(), min_size=1, max_size=3), min_size=3, max_size=3),
).map(lambda drawn: {c: ScriptedStreamer(list(parts)) for c, parts in zip(*drawn, strict=False)})


async def play(cast: dict[Candidate, ScriptedStreamer]) -> tuple[Read, int]:
    got = await read(cast)
    await let_losers_go()
    return got, len(asyncio.all_tasks()) - 1


@pytest.mark.no_cover  # six hundred times what the tests of single streams measure, at half the speed
@settings(max_examples=600)
@given(CASTS)
def test_the_text_is_what_its_writers_wrote_one_behind_the_other_with_one_end(
    cast: dict[Candidate, ScriptedStreamer],
) -> None:
    got, left_behind = run_virtually(play(cast))
    answer = got.answer

    # Each part of the text is the whole of what one stream gave, and begins where its attempt says it does.
    asked = {candidate: iter(streamer.streams) for candidate, streamer in cast.items()}
    written = ""
    for attempt in answer.attempts:
        if attempt.outcome.name == "refused" and attempt.outcome.reason.startswith("breaker"):
            continue
        stream = next(asked[attempt.candidate])
        if attempt.from_character is not None:
            assert attempt.from_character == len(written)
            assert stream.request.prefix == written
            written += stream.text
    if answer.served_by is Tier.LAST_RESORT:
        written += f"\n\n{LAST_RESORT}" if written else LAST_RESORT
    assert got.text == written == answer.result

    # It is not blank, its first content came in time, and it says "stop" only for what somebody has finished.
    assert not is_blank(got.text)
    assert got.opened <= ANSWER_BY + 1e-3
    if answer.finish_reason == "stop":
        assert answer.attempts[-1].outcome.name in {"answered", "cancelled", "timed_out"}
        assert any(a.outcome.name == "answered" and a.from_character is not None for a in answer.attempts)

    # Nobody is left writing.
    assert all(stream.closed for streamer in cast.values() for stream in streamer.streams)
    assert left_behind == 0
