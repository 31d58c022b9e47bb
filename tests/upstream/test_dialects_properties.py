"""Whatever mixture of dialects and faults comes over a good answer: it is read as that answer, or it is a failure.

Never a wrong one, never one with another text glued to it; and what was given of it before a failure is its beginning.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.policy.outcome import Finished
from tests.fakes import run_virtually
from tests.upstream.answering import CUT, read
from tests.upstream.dialect import DONE, chunk, completion, event

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<["), min_size=1, max_size=9)
ARGUMENTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | st.text("x{}\\\"' :,", max_size=5), max_size=3)
NOTHING_MORE = [b": bye\n\n", b"data: {}\n\n", b"data: {{{\n\n", chunk({"content": "GLUED"}), event({"error": "late"})]
HEARTBEATS = [b": hm\n\n", b"data:\n\n", b"data: {}\n\n", event({"type": "ping"}), b"\n\n"]


@dataclass(frozen=True)
class Answer:
    """A good answer: pieces of a text, and calls."""

    pieces: tuple[str, ...]
    calls: tuple[tuple[str, dict[str, Any]], ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    pieces = draw(st.lists(WORDS, min_size=1, max_size=5))
    made = draw(st.lists(ARGUMENTS, max_size=3, unique_by=json.dumps))
    return Answer(("I", *pieces), tuple((draw(st.sampled_from(["look", "listen"])), each) for each in made))


def cut_up(text: str, draw: st.DrawFn) -> list[str]:
    at = draw(st.integers(0, len(text)))
    return [part for part in (text[:at], text[at:]) if part] or [""]


def deltas_of_calls(answer: Answer, draw: st.DrawFn) -> list[Any]:
    """The calls in one of the ways in which providers stream them."""
    way = draw(st.sampled_from(["indexed", "bare", "named", "same-index", "objects", "cumulative", "whole"]))
    note(f"calls: {way}" if answer.calls else "no calls")
    deltas: list[Any] = []
    for place, (name, made) in enumerate(answer.calls):
        written = json.dumps(made)
        match way:
            case "indexed":
                deltas.append({"index": place, "id": f"c{place}", "function": {"name": name, "arguments": ""}})
                deltas += [{"index": place, "function": {"arguments": part}} for part in cut_up(written, draw)]
            case "bare":
                deltas.append({"function": {"name": name, "arguments": made}})
            case "named":
                parts = cut_up(written, draw)
                deltas += [{"id": f"c{place}", "function": {"name": name, "arguments": part}} for part in parts]
            case "same-index":
                deltas.append({"index": 0, "id": f"c{place}", "function": {"name": name, "arguments": written}})
            case "objects":
                deltas.append({"index": str(place), "id": "", "function": {"name": name, "arguments": made}})
            case "cumulative":
                sizes = sorted({draw(st.integers(1, len(written))), len(written)})
                parts = [written[:size] for size in sizes]
                deltas += [{"index": place, "function": {"name": name, "arguments": part}} for part in parts]
            case "whole":
                deltas.append({"index": place, "type": None, "name": name, "arguments": written})
    return [{"tool_calls": [delta]} for delta in deltas]


def dress(text: str, draw: st.DrawFn) -> dict[str, Any]:
    """A content in one of its forms."""
    forms: list[Any] = [text, [text], [{"type": "text", "text": text}], {"type": "text", "text": text}]
    return {"content": draw(st.sampled_from(forms)), **draw(st.sampled_from([{}, {"role": "assistant"}]))}


@st.composite
def wires(draw: st.DrawFn) -> tuple[Answer, list[bytes | BaseException], str, bool]:
    """An answer, the parts of a response that gives it, the encoding in its head, and whether nothing is wrong."""
    answer = draw(answers())
    reason = draw(st.sampled_from(["stop", "STOP", "end_turn", "tool_calls", "COMPLETE"]))
    if draw(st.booleans()):
        none_yet = draw(st.sampled_from([None, "", "null", "FINISH_REASON_UNSPECIFIED"]))
        deltas = [*(dress(piece, draw) for piece in answer.pieces), *deltas_of_calls(answer, draw)]
        events = [chunk(delta, none_yet) for delta in deltas]
        events.append(chunk({}, reason))
        events += draw(st.sampled_from([[DONE], [], [event({"choices": [], "usage": {"total_tokens": 3}}), DONE]]))
    else:
        calls = [{"function": {"name": name, "arguments": json.dumps(made)}} for name, made in answer.calls]
        whole = completion({"content": answer.text, "tool_calls": calls or None}, reason)
        events = draw(
            st.sampled_from([[json.dumps(whole).encode()], [json.dumps(whole, indent=1).encode()], [event(whole)]])
        )
    is_events = events[0].startswith(b"data")
    if is_events and draw(st.booleans()):
        events = [part for each in events for part in (draw(st.sampled_from(HEARTBEATS)), each)]
    good, events = True, [*events]
    fault = draw(st.sampled_from(["none", "none", "cut", "clean cut", "abort", "error", "garbage", "more"]))
    note(fault)
    place = draw(st.integers(0, len(events) - 1))
    match fault:
        case "abort" | "error" if is_events:
            failing = chunk({}, "abort") if fault == "abort" else event({"error": {"message": "Died."}})
            events, good = [*events[:place], failing, *events[place:]], False
        case "garbage" if is_events:
            events.insert(place, b'data: {"choices": [{"del\n\n')
        case "more" if is_events:
            events += draw(st.lists(st.sampled_from(NOTHING_MORE), max_size=4))
    data = b"".join(events)
    if is_events and draw(st.booleans()):
        data = data.replace(b"\n", b"\r\n")
    encoding = draw(st.sampled_from(["", "gzip", "gzip, not said"]))
    data = gzip.compress(data, mtime=0) if encoding else data
    end: list[BaseException] = []
    if fault in {"cut", "clean cut"}:
        data, good = data[: draw(st.integers(0, len(data) - 1))], False
        end = [CUT] if fault == "cut" else []
    sizes = draw(st.lists(st.integers(1, 40), max_size=20))
    return answer, [*split(data, sizes), *end], encoding if encoding == "gzip" else "", good


def split(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [part for part in (*parts, data) if part]


@pytest.mark.no_cover  # four hundred times what the tests of single dialects measure, at half the speed
@settings(max_examples=400, deadline=None)
@given(wires(), st.sampled_from(["text/event-stream", "application/json", "text/plain", "application/octet-stream"]))
def test_a_good_answer_in_any_dialect_is_read_or_is_a_failure(
    wire: tuple[Answer, list[bytes | BaseException], str, bool], content_type: str
) -> None:
    answer, parts, encoding, good = wire

    reading = run_virtually(read(parts, content_type, encoding))

    if isinstance(reading.end, Finished):
        assert reading.text == answer.text
        made = [
            (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in reading.end.tool_calls
        ]
        assert made == list(answer.calls)
        assert reading.end.finish_reason == ("tool_calls" if answer.calls else "stop")
    else:
        assert not good, reading.end or reading.error or reading.chunks.error
        assert answer.text.startswith(reading.text)
