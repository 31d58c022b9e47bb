"""The estimate of token counts where no model gave any. It is made here and nowhere else."""

from math import ceil

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 that a token has on average: tokenizers take about four letters of English for one token, and between
one and two characters of scripts that take three bytes for each."""


def estimate_tokens(text: str, pieces: int = 1) -> int:
    """Return about how many tokens `text` has: one for each `BYTES_PER_TOKEN`, but at least one for each piece.

    Args:
        text: the text.
        pieces: the number of pieces in which a model streamed it. Models rarely stream less than a token at a time.
    """
    return tokens_of_size(size_of(text), pieces) if text else 0


def size_of(text: str) -> int:
    """Return how many bytes of UTF-8 `text` has."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))


def tokens_of_size(size: int, pieces: int) -> int:
    """Return about how many tokens a text of `size` bytes has; `pieces` as in `estimate_tokens`."""
    return max(pieces, ceil(size / BYTES_PER_TOKEN))
