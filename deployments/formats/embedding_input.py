"""The inputs of a model that makes vectors, as token ids.

"text": "…"                     one text, under any of the keys that may hold a text
"input": ["…", "…"]             several texts
"input": [101, 7592, 102]       the token ids of one text, as they are: no special token is added
"input": [[101, …], [101, …]]   the same of several texts
"prompt_name": "query"          one of the model's prompts, which goes before each text
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.policy.blank import is_blank
from deployments.policy.outcome import Rejected
from deployments.request import InferenceRequest
from deployments.request.embeddings import find_vector_input, is_id
from deployments.request.ranking import PAIRS

TOO_LONG = "context_length_exceeded"
_ACCEPTED = "a text, a list of texts, the token ids of a text, or a list of such"

Tokens = Sequence[int]


class InputError(Exception):
    """The caller's input cannot be made a vector of.

    Attributes:
        rejected: the outcome that says so.
    """

    def __init__(self, field: str, reason: str, code: str = "", *, elsewhere: bool = False) -> None:
        super().__init__(reason)
        self.rejected = Rejected(f"{field} {reason}", field, code, elsewhere)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a request wants vectors of.

    Attributes:
        field: the field that it is in.
        items: texts, or token ids; one for each vector.
        single: the answer is one vector, and no list of them.
    """

    field: str
    items: tuple[str | Tokens, ...]
    single: bool

    def place(self, index: int) -> str:
        """Return the place of an item in the request, for an error."""
        return self.field if self.single else f"{self.field}[{index}]"


def read_inputs(request: InferenceRequest, most: int, vocabulary: int) -> Inputs:
    """Read what a request wants vectors of.

    Args:
        request: the request.
        most: the most items that it may have.
        vocabulary: token ids are below this.

    Raises:
        InputError: there is nothing that can be read, or too much.
    """
    if request.messages:
        raise InputError("messages", "are given to a model of vectors; accepted: text, or input")
    if PAIRS in request.inputs:
        raise InputError("model", "makes vectors, and scores no pairs; accepted: a model of the task text-ranking")
    wanted = find_vector_input(request.inputs)
    field, value = wanted.field, wanted.value
    if isinstance(value, str):
        return Inputs(field, (value,), single=True)
    if not isinstance(value, list) or not value:
        raise InputError(field, f"is no text; accepted: {_ACCEPTED}")
    if wanted.single:
        return Inputs(field, (_ids(value, field, vocabulary),), single=True)
    if len(value) > most:
        raise InputError(field, f"has {len(value)} texts; accepted: at most {most}")
    return Inputs(field, tuple(_item(item, f"{field}[{index}]", vocabulary) for index, item in enumerate(value)), False)


def _item(item: Any, place: str, vocabulary: int) -> str | Tokens:
    if isinstance(item, str):
        if is_blank(item):
            raise InputError(place, "is an empty text; accepted: a text with something visible in it")
        return item
    if isinstance(item, list) and item and all(map(is_id, item)):
        return _ids(item, place, vocabulary)
    raise InputError(place, f"is no text and no list of token ids; accepted: {_ACCEPTED}")


def _ids(ids: Sequence[int], place: str, vocabulary: int) -> Tokens:
    if not all(0 <= each < vocabulary for each in ids):
        raise InputError(place, f"has a token id that the model does not have; accepted: 0 to {vocabulary - 1}")
    return tuple(ids)
