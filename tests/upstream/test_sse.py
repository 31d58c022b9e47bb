"""Server-sent events out of bytes, however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.upstream.sse import EventReader, EventTooLargeError

LIMIT = 1000


def read(data: bytes, sizes: list[int]) -> list[str]:
    reader, events = EventReader(LIMIT), []
    for size in sizes:
        events += reader.feed(data[:size])
        data = data[size:]
    return [event.data for event in events + reader.feed(data) + reader.finish()]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(1, 9), max_size=30),
)
def test_events_are_the_same_however_their_bytes_are_cut(datas: list[str], end: str, sizes: list[int]) -> None:
    stream = "".join(f"data: {data}{end}{end}" for data in datas).encode()

    assert read(stream, sizes) == datas


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b": comment\n\ndata: a\n\n", ["a"]),
        (b"event: x\nid: 7\ndata: a\n\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a", ["a"]),
        (b"data\n\n", [""]),
        (b"\n\n\n", []),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_a_stream_is_read_as_the_standard_has_it(stream: bytes, events: list[str]) -> None:
    assert read(stream, []) == events
    assert read(stream, [1] * len(stream)) == events


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 2000, b"data: x\n" * 600, b"x" * 2000])
def test_an_event_beyond_the_limit_is_not_kept(stream: bytes) -> None:
    with pytest.raises(EventTooLargeError):
        read(stream, [100] * 60)


@given(
    st.lists(
        st.sampled_from(
            ["data: a", "data:  b", "data: ", "data:c", "data", "event: x", ": hm", "", "", '{"d": 1}', "e\r"]
        )
        | st.text("da: \n\r{}", max_size=8),
        max_size=8,
    )
)
def test_events_that_come_whole_are_read_in_the_short_way_as_in_the_long_one(lines: list[str]) -> None:
    stream = b"".join(line.encode() + b"\n" for line in ["data: first", "", *lines, ""])
    short, long = EventReader(LIMIT), EventReader(LIMIT)

    events = short.feed(stream)
    others = long.feed(stream[:1]) + long.feed(stream[1:])  # what begins within a line is read line by line

    assert (events + short.finish(), short.foreign) == (others + long.finish(), long.foreign)
