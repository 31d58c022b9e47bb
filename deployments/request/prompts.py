"""The prompts of text completions: texts, or lists of token ids, that are continued as they stand."""

from typing import Any

from msgspec import Struct

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import refuse
from deployments.request.knobs import is_token

MAX_PROMPTS = 16
MAX_PROMPT_TOKENS = 1 << 18

_ACCEPTED = (
    f"a text, a list of 1 to {MAX_PROMPT_TOKENS} token ids, or a list of 1 to {MAX_PROMPTS} of either, none of them "
    "empty"
)


class RawPrompt(Struct, frozen=True):
    """One prompt: a text, or token ids."""

    text: str = ""
    tokens: tuple[int, ...] = ()


def read_prompts(value: Any) -> tuple[RawPrompt, ...]:
    """Return the prompts in `prompt`, at least one.

    Raises:
        InvalidRequestError: `prompt` is not valid; the problem names the place.
    """
    if isinstance(value, str):
        return (_read(value, "prompt"),)
    if not isinstance(value, list) or not value:
        raise refuse("prompt", value, _ACCEPTED)
    if is_token(value[0]):
        return (_read(value, "prompt"),)
    if len(value) > MAX_PROMPTS:
        raise refuse("prompt", value, _ACCEPTED)
    return tuple(_read(each, f"prompt[{place}]") for place, each in enumerate(value))


def _read(value: Any, place: str) -> RawPrompt:
    match value:
        case str():
            if is_blank(value):
                raise InvalidRequestError(Problem(place, "is empty", "text that is not blank"))
            return RawPrompt(value)
        case list() if value and len(value) <= MAX_PROMPT_TOKENS and all(is_token(each) for each in value):
            return RawPrompt(tokens=tuple(value))
        case list() if value:
            raise InvalidRequestError(Problem(place, "is no list of token ids", _ACCEPTED))
        case _:
            raise refuse(place, value, _ACCEPTED)
