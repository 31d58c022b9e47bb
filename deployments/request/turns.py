"""The turns of a chat: those that models of our own are given, and the answer that a caller has begun itself."""

from collections.abc import Mapping, Sequence

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem


def split_prefix(messages: Sequence[Mapping[str, str]]) -> tuple[tuple[Mapping[str, str], ...], str]:
    """Take a trailing assistant's turn off `messages`: its text is the beginning of the answer.

    Args:
        messages: turns of `role` and `content`, in the places in which they were sent; none are none.

    Returns:
        The turns before it, and the text; empty where the last turn is somebody else's.

    Raises:
        InvalidRequestError: there is nothing to answer.
    """
    if not messages:
        return (), ""
    turns, prefix = list(messages), ""
    if turns[-1]["role"] == "assistant":
        _require_content(messages, len(turns) - 1)
        prefix = turns.pop()["content"]
    if not turns:
        accepted = "at least one turn before the beginning of an answer"
        raise InvalidRequestError(Problem("messages", "begins with the answer", accepted))
    _require_content(messages, len(turns) - 1)
    return tuple(turns), prefix


def _require_content(messages: Sequence[Mapping[str, str]], place: int) -> None:
    if is_blank(messages[place]["content"]):
        raise InvalidRequestError(Problem(f"messages[{place}].content", "is empty", "text that is not blank"))
