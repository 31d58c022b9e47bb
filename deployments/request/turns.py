"""The plain turns of a chat, and the beginning of an answer in a trailing assistant turn."""

from collections.abc import Mapping, Sequence

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem


def split_prefix(messages: Sequence[Mapping[str, str]]) -> tuple[tuple[Mapping[str, str], ...], str]:
    """Take a trailing assistant turn off `messages`: its text is the beginning of the answer.

    Args:
        messages: turns of `role` and `content`, in the order in which they were sent; may be empty.

    Returns:
        The other turns, and the text; an empty text where the last turn is not an assistant turn.

    Raises:
        InvalidRequestError: the turn to answer, or the beginning of the answer, is missing or blank.
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
