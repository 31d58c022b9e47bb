"""What a model does when it is asked, drawn by how it is at that time.

Every call says its own number in whatever it gives, `c17c`, so that nobody can take one answer for another.
"""

import asyncio
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from deployments.policy.outcome import (
    Answered,
    Blank,
    Failed,
    Finished,
    Refused,
    Rejected,
    TimedOut,
    Usage,
)
from deployments.request import ResponseFormat
from tests.fakes import Play, hangs
from tests.streamers import Beat
from tests.streamers import hangs as stalls


class Mood(StrEnum):
    """How a model is for a while."""

    WELL = "well"
    SLOW = "slow"
    FLAKY = "flaky"  # what is repeated is answered
    BROKEN = "broken"
    HUNG = "hung"
    BUSY = "busy"
    BLANK = "blank"
    CUT = "cut"  # streams break off
    REASONS = "reasons"  # streams reason for long before they say anything
    CRAWLS = "crawls"  # streams write a word a second
    WILD = "wild"  # anything at all


class ScriptedError(RuntimeError):
    """What a scripted caller raises, against its promise."""


@dataclass(slots=True)
class Life:
    """How a model is, over time.

    Attributes:
        moods: since when it is how.
        usual_s: how long it usually takes.
        spread_s: how much longer it may take.
        talks: its streams are long and fluent, so that its pace becomes known.
    """

    moods: list[tuple[float, Mood]]
    usual_s: float
    spread_s: float
    rng: random.Random = field(default_factory=random.Random)
    talks: bool = False

    def mood(self, now: float) -> Mood:
        """How it is now."""
        return [mood for since, mood in self.moods if since <= now][-1]

    def pause_s(self, mood: Mood) -> float:
        """How long it takes this time."""
        if mood is Mood.SLOW:
            return self.rng.uniform(0.5, 6.0)
        return self.usual_s + self.spread_s * self.rng.random()


def says(number: int, rng: random.Random) -> str:
    """A text of the call of that number."""
    return f"c{number}c speaks" + rng.choice(("", " of many things", ", and of nothing else.", "\n\nin lines"))


def draw_play(life: Life, now: float, number: int, wanted: ResponseFormat) -> Play:
    """What a whole answer comes to."""
    rng, mood = life.rng, life.mood(now)
    after = life.pause_s(mood)
    why = f"c{number}c"
    if mood is Mood.WILD:
        mood = rng.choice([each for each in Mood if each is not Mood.WILD])
        if rng.random() < 0.25:
            return Play(_anything(rng, why), after)
    match mood:
        case Mood.HUNG:
            return hangs()
        case Mood.FLAKY if rng.random() < 0.6:
            wait_s = rng.choice((0.0, 0.0, 0.3, 1.0, 9.0))
            return Play(Failed(why, transient=True, retry_after_s=wait_s), min(after, 0.2))
        case Mood.BROKEN:
            return Play(Failed(why), min(after, 0.2))
        case Mood.BUSY if rng.random() < 0.8:
            wait_s = rng.choice((0.0, 0.3, 1.0, 2.0))
            return Play(Refused(why, transient=wait_s > 0, retry_after_s=wait_s), 0.0)
        case Mood.BLANK:
            return Play(Blank(why), after)
        case _:
            return Play(_answer(rng, number, wanted), after)


def _anything(rng: random.Random, why: str) -> Any:
    return rng.choice(
        (
            ScriptedError(why),
            asyncio.CancelledError(),
            Rejected(why, "text"),
            TimedOut(why),
            Refused(why, soon=True),
            Answered(f"{why} must not be said", None, "content_filter"),
        )
    )


def _answer(rng: random.Random, number: int, wanted: ResponseFormat) -> Answered:
    usage = rng.choice((None, Usage(3, 5)))
    if wanted.demands_tool_call or (wanted.tools and rng.random() < 0.4):
        if rng.random() < 0.7:
            calls = ({"id": f"c{number}c", "type": "function", "function": {"name": "look", "arguments": "{}"}},)
            text = rng.choice(("", f"c{number}c looks"))
            return Answered(text or {"tool_calls": list(calls)}, usage, "tool_calls", calls)
        return Answered(says(number, rng), usage)
    if wanted.is_json:
        return Answered(a_json(number, rng), usage, rng.choice(("stop", "stop", "length")))
    if rng.random() < 0.03:
        return Answered(f"c{number}c must not be said", usage, "content_filter")
    if rng.random() < 0.1:
        return Answered({"label": f"c{number}c", "scores": [0, 1.5]}, usage)
    return Answered(says(number, rng), usage, rng.choice(("stop", "stop", "length", "deadline")))


def a_json(number: int, rng: random.Random) -> str:
    """JSON that fits, mostly."""
    fits = orjson.dumps({"name": f"c{number}c", "age": 3}).decode()
    return rng.choice((fits, fits, f"```json\n{fits}\n```", fits[:-1], f'{{"name": "c{number}c"}}', f"c{number}c"))


def draw_beats(life: Life, now: float, number: int, wanted: ResponseFormat) -> list[Beat]:
    """What a stream does, beat by beat; one that has no end in it is cut."""
    rng, mood = life.rng, life.mood(now)
    if mood is Mood.WILD:
        mood = rng.choice([each for each in Mood if each is not Mood.WILD])
    if mood in (Mood.HUNG, Mood.BROKEN, Mood.BUSY, Mood.BLANK) or (mood is Mood.FLAKY and rng.random() < 0.5):
        begun = _pieces(life, mood, number, wanted)[:-1] if rng.random() < 0.3 else []
        return [*begun, *_failure(life, mood, now, number)]
    beats = _pieces(life, mood, number, wanted)
    if mood is Mood.CUT and rng.random() < 0.8:
        at = rng.randint(1, len(beats))
        return [*beats[:at], *_break(rng, f"c{number}c")]
    return beats


def _pieces(life: Life, mood: Mood, number: int, wanted: ResponseFormat) -> list[Beat]:
    """A whole stream, with its end."""
    rng = life.rng
    pace = rng.choice((0.0, 0.01, 0.2)) if mood is not Mood.SLOW else rng.choice((0.3, 2.0, 8.0))
    first = Beat("", life.pause_s(mood))
    usage = rng.choice((None, Usage(3, 5)))
    if mood is Mood.REASONS:
        thoughts = [Beat("", 0.5) for _ in range(rng.randint(4, 30))]
        return [first, *thoughts, Beat(f"c{number}c has thought"), Beat(Finished("stop", usage))]
    if mood is Mood.CRAWLS:
        words = [Beat(" on", 1.0) for _ in range(30)]
        return [first, Beat(f"c{number}c goes on"), *words, Beat(Finished("stop", usage))]
    if wanted.demands_tool_call or (wanted.tools and rng.random() < 0.5):
        calls = ({"id": f"c{number}c", "type": "function", "function": {"name": "look", "arguments": "{}"}},)
        before = [Beat(text, pace) for text in rng.choice(([], ["\n\n"], [" ", "\n"], [f"c{number}c looks"]))]
        return [first, *before, Beat("", pace), Beat(Finished("tool_calls", usage, calls))]
    if wanted.is_json:
        text = a_json(number, rng)
        cut = rng.randrange(len(text))
        return [first, Beat(text[:cut], pace), Beat(text[cut:], pace), Beat(Finished("stop", usage))]
    if life.talks:
        words = [Beat(" on", 0.01) for _ in range(rng.randint(10, 30))]
        return [first, Beat(f"c{number}c goes"), *words, Beat(Finished("stop", usage))]
    texts = [f"c{number}c", *rng.choices((" goes", " on", " and on", "", "\n", " \u200b", "."), k=rng.randint(0, 6))]
    if rng.random() < 0.2:
        texts = ["", rng.choice(("\n", " ")), *texts]
    end = Finished(rng.choice(("stop", "stop", "length", "content_filter")), usage)
    return [first, *[Beat(text, pace) for text in texts], Beat(end)]


def _failure(life: Life, mood: Mood, now: float, number: int) -> list[Beat]:
    """An end of a stream that is no proper one."""
    if mood is Mood.HUNG:
        return stalls()
    rng, after = life.rng, min(0.2, life.pause_s(mood))
    if mood is Mood.BLANK:
        return [Beat(rng.choice(("", " ", "\u200b")), after), Beat(Finished(rng.choice(("stop", "length"))))]
    if mood is Mood.BUSY:
        return [Beat(Refused(f"c{number}c", transient=True, retry_after_s=rng.choice((0.0, 0.5))), after)]
    return [Beat(Failed(f"c{number}c", transient=mood is Mood.FLAKY), after)]


def _break(rng: random.Random, why: str) -> list[Beat]:
    """How a stream breaks in its middle."""
    return rng.choice(
        (
            [],
            [Beat(Failed(why, transient=True), 0.1)],
            [Beat(Failed(why, transient=True), 0.1)],
            [Beat(Failed(why), 0.1)],
            [Beat(ScriptedError(why), 0.1)],
            stalls(),
        )
    )
