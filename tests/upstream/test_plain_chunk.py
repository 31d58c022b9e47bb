"""The short way to read a chunk of a stream gives what the long way gives."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.outcome import StreamEnd, StreamPart
from deployments.upstream.plain_chunk import text_of_plain
from deployments.upstream.sse import Event
from deployments.upstream.stream import ChunkReader

FIRST = '{"choices": [{"index": 0, "delta": {"content": "I"}}], "system_fingerprint": "fp"}'
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        None,
        "",
        "stop",
        "Hi",
        " ",
        "<think>",
        "fp",
        0,
        1,
        2**70,
        1.5,
        "0",
        [],
        {},
        [1],
        {"a": 1},
        "\ud83d",
        "\udc00",
    ]
)
TEXTS = VALUES | st.text(max_size=4)
DELTAS = st.fixed_dictionaries({}, optional={"content": TEXTS, "role": VALUES, "tool_calls": VALUES, "own": VALUES})
CHOICES = st.fixed_dictionaries(
    {"index": st.sampled_from([0, 0, 0, 1, None, "0"])},
    optional=dict.fromkeys(("finish_reason", "logprobs", "own", "error"), VALUES)
    | {"delta": DELTAS | DELTAS | VALUES, "message": DELTAS},
)
CHUNKS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, min_size=1, max_size=2) | CHOICES | VALUES},
    optional=dict.fromkeys(("id", "object", "created", "usage", "error", "system_fingerprint", "own"), VALUES),
)
WRITTEN = CHUNKS.map(json.dumps) | CHUNKS.map(lambda value: json.dumps(value, ensure_ascii=False)) | st.text(max_size=3)
PLAIN = st.text(max_size=3).map(
    lambda text: json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
)


def read(datas: list[str], name: str) -> tuple[list[list[StreamPart]], StreamEnd, int, bool]:
    reader = ChunkReader()
    parts = [reader.feed(Event(data, name)) for data in (FIRST, *datas)]
    return [*parts, reader.finish()], reader.end(), reader.skipped, reader.has_ended


@given(st.lists(PLAIN | WRITTEN, max_size=5))
def test_what_is_read_in_the_short_way_is_what_is_read_in_the_long_way(datas: list[str]) -> None:
    assert read(datas, "") == read(datas, "message")  # the short way is for events without a name


@pytest.mark.parametrize(
    "data",
    [
        '{"choices": [{"index": 0, "delta": {"content": "Hi"}}]}',
        json.dumps(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "usage": None,
                "system_fingerprint": "fp",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"role": "assistant", "content": "Hi"},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
            }
        ),
    ],
)
def test_an_ordinary_chunk_is_read_in_the_short_way(data: str) -> None:
    assert text_of_plain(data, {"system_fingerprint": "fp"}) == "Hi"


@pytest.mark.parametrize(
    "beside", ['"own": 1', '"error": {}', '"usage": {"total_tokens": 1}', '"system_fingerprint": "new"']
)
def test_a_chunk_with_more_to_tell_than_its_text_is_left_to_the_long_way(beside: str) -> None:
    data = f'{{"choices": [{{"index": 0, "delta": {{"content": "Hi"}}}}], {beside}}}'

    assert text_of_plain(data, {"system_fingerprint": "fp"}) == ""
