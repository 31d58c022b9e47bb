"""The short way to read a whole answer gives what the long way gives."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.outcome import Finished, stream_to_outcome
from deployments.upstream.plain import read_plain
from tests.fakes import run_virtually
from tests.upstream.answering import read
from tests.upstream.dialect import completion
from tests.upstream.exchange import TEXT
from tests.upstream.voices import USAGE

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "stop", "length", "Hi", " Hi", "<think>", 0, 1, "0", [], {}, [1], {"a": 1}, USAGE, {"content": "Hi"}]
)
MESSAGES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("role", "content", "refusal", "tool_calls", "reasoning", "text"), VALUES)
)
CHOICES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("index", "finish_reason", "logprobs", "own"), VALUES) | {"message": MESSAGES | VALUES}
)
BODIES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("usage", "error", "system_fingerprint", "own"), VALUES)
    | {"base_resp": st.sampled_from([None, {"status_code": 0}, {"status_code": 1027, "status_msg": "x"}])}
    | {"choices": st.lists(CHOICES, max_size=2) | VALUES},
)


@given(BODIES)
def test_what_is_read_in_the_short_way_is_what_is_read_in_the_long_way(body: Any) -> None:
    written = json.dumps(body).encode()
    plain = read_plain(written)
    if plain is None:
        return

    reading = run_virtually(read([written], "application/json"))

    assert isinstance(reading.end, Finished)
    assert stream_to_outcome(reading.text, reading.end) == plain


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_an_ordinary_answer_is_read_in_the_short_way(reason: str) -> None:
    plain = read_plain(json.dumps(completion({"role": "assistant", "content": TEXT, "refusal": None}, reason)).encode())

    assert plain is not None
    assert (plain.result, plain.finish_reason) == (TEXT, reason)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"{}", b'"{}"', b'{"choices": [], "usage": {}}'])
def test_what_is_no_ordinary_answer_is_left_to_the_long_way(body: bytes) -> None:
    assert read_plain(body) is None
