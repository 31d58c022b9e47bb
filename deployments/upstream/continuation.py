"""How a remote that takes no beginning of an answer is asked to go on with one.

The text so far stands in an assistant turn, and a user turn behind it asks to go on. Chat models strip white space, so
the turn has the model begin with the last words of the text: the `Splicer` takes these out again, and what comes behind
them joins exactly, within a word or between two.
"""

from typing import Any

from deployments.execution.splice import MIN_OVERLAP, repeats_itself

_ANCHOR = 40
"""Characters of the last words that the model is to begin with."""

_ASK = (
    "Your last message was cut off. Go on with it exactly where it stops, as if it had never been interrupted. Do not "
    "start over, do not comment, do not apologise."
)


def ask_to_go_on(text: str) -> dict[str, Any]:
    """Return the user turn that asks to go on with `text`, the answer so far."""
    anchor = _anchor(text)
    if not anchor:
        return {"role": "user", "content": _ASK}
    how = f" Begin by repeating its last words, without quotation marks, and go on behind them. They are:\n\n{anchor}"
    return {"role": "user", "content": _ASK + how}


def _anchor(text: str) -> str:
    """Return the last words of `text`; empty where their repetition could not be told from the text that is meant."""
    tail = text[-_ANCHOR:]
    if len(tail) < len(text):
        _, space, rest = tail.partition(" ")
        tail = rest if space and len(rest) >= MIN_OVERLAP else tail
    tail = tail.lstrip()
    is_plain = len(tail) >= MIN_OVERLAP and any(char.isalpha() for char in tail) and not repeats_itself(tail)
    return tail if is_plain else ""
