"""The drills that `neverblank drill` runs: rows of the contract (docs/failure-modes.md) that a caller can bring about.

A drill injects faults into its own request, so it needs no test model and harms no request beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Promise = Callable[[Mapping[str, Any]], bool]
"""Judges an answer of the native API, streamed or whole."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One row of the contract, and how it is brought about.

    Attributes:
        row: what goes wrong, in the words of the contract.
        promised: what the caller gets, in a few words.
        fault: the value of `x-neverblank-fault`.
        holds: whether an answer is what was promised.
        streamed: the request is streamed.
    """

    row: str
    promised: str
    fault: str
    holds: Promise
    streamed: bool = False


def drills() -> tuple[Drill, ...]:
    """Return all drills, in the order of the contract."""
    return (
        Drill("it raises", "the next model, at once", "error", _by_another),
        Drill("it returns something blank", "the next model, at once", "blank", _by_another),
        Drill("it returns what JSON cannot hold", "the next model, at once", "garbage", _by_another),
        Drill("it hangs", "the next model, in time", "hang", _by_another),
        Drill("everybody fails", "the last resort, in words", "error, error@backup", _by_nobody),
        Drill("nobody answers in time", "the last resort, in time", "hang, hang@backup", _by_nobody),
        Drill("it fails before its first content", "the next model, as a stream", "error", _by_another, streamed=True),
        Drill(
            "it is silent until the first-content timeout",
            "the next model, as a stream",
            "hang",
            _by_another,
            streamed=True,
        ),
        Drill(
            "it breaks after some content: its model raises, hangs or dies",
            "the text, carried on with",
            "cut:3",
            _carried_on,
            streamed=True,
        ),
        Drill(
            "nobody has a first content",
            "the last resort, as a stream",
            "blank, blank@backup",
            _by_nobody,
            streamed=True,
        ),
    )


def _is_words(answer: Mapping[str, Any]) -> bool:
    return isinstance(answer.get("result"), str) and bool(answer["result"].strip())


def _was_met(answer: Mapping[str, Any]) -> bool:
    """Return whether some attempt met a fault: it failed by it, or was given up as it hung."""
    return any(
        attempt["reason"].startswith("drill: ") or attempt["outcome"] in {"timed_out", "cancelled"}
        for attempt in answer["attempts"]
    )


def _by_another(answer: Mapping[str, Any]) -> bool:
    """Another model answers, and the trace shows the one that could not."""
    by_a_model = _is_words(answer) and answer["served_by"] in {"primary", "backup"}
    return by_a_model and answer["degraded"] and _was_met(answer)


def _by_nobody(answer: Mapping[str, Any]) -> bool:
    return _is_words(answer) and answer["served_by"] == "last_resort"


def _carried_on(answer: Mapping[str, Any]) -> bool:
    """Another attempt has written on where the stream was cut."""
    writers = [attempt for attempt in answer["attempts"] if attempt.get("from_character") is not None]
    return _is_words(answer) and len(writers) > 1 and answer["served_by"] != "last_resort"
