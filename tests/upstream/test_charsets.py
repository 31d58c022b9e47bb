"""Whatever charset a head names: UTF-8 stays as it is, and what is written in another one is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.upstream.charsets import Transcoder

NAMED = st.sampled_from([None, "utf-8", "iso-8859-1", "us-ascii", "windows-1251", "hex", "no-such-charset"])
SIZES = st.lists(st.integers(1, 9), max_size=30)


def read(data: bytes, charset: str | None, sizes: list[int]) -> str:
    transcoder, read = Transcoder(charset), b""
    for size in sizes:
        read += transcoder.feed(data[:size], is_last=False)
        data = data[size:]
    return (read + transcoder.feed(data, is_last=True)).decode("utf-8", errors="replace")


@given(st.text(), NAMED, SIZES)
def test_a_response_in_utf_8_stays_as_it_is(text: str, charset: str | None, sizes: list[int]) -> None:
    data = b'data: {"x": "' + text.encode("utf-8", errors="replace") + b'"}'

    assert read(data, charset, sizes) == data.decode()


@given(st.binary(), SIZES)
def test_bytes_whose_charset_nobody_names_stay_as_they_are(data: bytes, sizes: list[int]) -> None:
    data = b"data: " + data

    assert read(data, None, sizes) == data.decode("utf-8", errors="replace")


@given(
    st.text(st.characters(codec="utf-8")), st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]), SIZES
)
def test_a_response_in_wider_characters_is_read(text: str, codec: str, sizes: list[int]) -> None:
    written = f'data: {{"x": "{text}"}}'

    assert read(written.encode(codec), None, sizes) == written
    assert read(f"\ufeff{written}".encode(codec), "utf-8", sizes) == f"\ufeff{written}"


@given(st.text(st.characters(codec="gbk", min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1), SIZES)
def test_chinese_in_utf_8_is_read_though_the_head_names_a_charset_of_east_asia(text: str, sizes: list[int]) -> None:
    written = f'data: {{"x": "{text}"}}'

    assert read(written.encode(), "gbk", sizes) == written


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\0", b"\0\0\0", b"\n\n"])
def test_a_response_of_a_few_bytes_is_given_at_its_end(data: bytes) -> None:
    assert read(data, "iso-8859-1", [1, 1, 1]) == data.decode()
