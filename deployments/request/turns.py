"""The plain turns of a chat: the beginning of an answer in a trailing assistant turn, and the text for a log line."""

from collections.abc import Mapping, Sequence

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.policy.reason import cut
from deployments.request.inference import InferenceRequest


def split_prefix(
    messages: Sequence[Mapping[str, str]], places: Sequence[str] = ()
) -> tuple[tuple[Mapping[str, str], ...], str]:
    """Take a trailing assistant turn off `messages`: its text is the beginning of the answer.

    Args:
        messages: turns of `role` and `content`, in the order in which they were sent; may be empty.
        places: the place of each in the request; `messages[0]` and so on where none are given.

    Returns:
        The other turns, and the text; an empty text where the last turn is not an assistant turn.

    Raises:
        InvalidRequestError: the turn to answer, or the beginning of the answer, is missing or blank.
    """
    if not messages:
        return (), ""
    turns, prefix = list(messages), ""
    if turns[-1]["role"] == "assistant":
        _require_content(messages, places, len(turns) - 1)
        prefix = turns.pop()["content"]
    if not turns:
        accepted = "at least one turn before the beginning of an answer"
        raise InvalidRequestError(Problem("messages", "begins with the answer", accepted))
    _require_content(messages, places, len(turns) - 1)
    return tuple(turns), prefix


def require_last(messages: Sequence[Mapping[str, str]], places: Sequence[str] = ()) -> tuple[Mapping[str, str], ...]:
    """Return `messages`, of which there is at least one; `places` as in `split_prefix`.

    Raises:
        InvalidRequestError: the last one is blank.
    """
    _require_content(messages, places, len(messages) - 1)
    return tuple(messages)


def quote(request: InferenceRequest, characters: int) -> str:
    """Return the text of `request` for a log line, in `characters` at the most; of a chat, the end of it.

    The last turn says what was asked, so it is the beginning that is left out.
    """
    if not request.messages:
        return cut(request.text, characters)
    said = ""
    for turn in reversed(request.messages):
        said = f"{turn['role']}: {turn['content']}" + (f"\n{said}" if said else "")
        if len(said) > characters:
            return f"\u2026{said[1 - characters :]}"
    return said


def _require_content(messages: Sequence[Mapping[str, str]], places: Sequence[str], number: int) -> None:
    if is_blank(messages[number]["content"]):
        place = places[number] if places else f"messages[{number}]"
        raise InvalidRequestError(Problem(f"{place}.content", "is empty", "text that is not blank"))
