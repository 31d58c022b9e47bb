"""The prompts of text completions: texts, or lists of token ids, that are continued as they stand."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.sampling import TokenId

MAX_PROMPTS = 16
MAX_PROMPT_TOKENS = 1 << 18

PROMPT = (
    f"a text, a list of 1 to {MAX_PROMPT_TOKENS} token ids, or a list of 1 to {MAX_PROMPTS} of either, none of them "
    "empty"
)

Ids = Annotated[list[TokenId], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]
_Entry = Annotated[str | TokenId | Ids, Meta(extra={"accepted": "a text that is not blank, or a list of token ids"})]
PromptField = str | Annotated[list[_Entry], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]


class RawPrompt(Struct, frozen=True):
    """One prompt: a text, or token ids."""

    text: str = ""
    tokens: tuple[int, ...] = ()


def read_prompts(value: str | list[Any]) -> tuple[RawPrompt, ...]:
    """Return the prompts in a `PromptField`, at least one.

    Raises:
        InvalidRequestError: a prompt is blank, there are too many, or texts stand among token ids.
    """
    if isinstance(value, str):
        return (_read(value, "prompt", ""),)
    if isinstance(value[0], int):
        if not all(isinstance(each, int) for each in value):
            raise InvalidRequestError(Problem("prompt", "holds what is no token id", PROMPT))
        return (RawPrompt(tokens=tuple(value)),)
    if len(value) > MAX_PROMPTS:
        raise InvalidRequestError(Problem("prompt", f"has {len(value)} entries", PROMPT))
    return tuple(
        _read(each, f"prompt[{place}]", f" (entry {place + 1} of {len(value)})") for place, each in enumerate(value)
    )


def _read(value: Any, place: str, where: str) -> RawPrompt:
    if isinstance(value, list):
        return RawPrompt(tokens=tuple(value))
    if isinstance(value, int):
        raise InvalidRequestError(Problem(place, f"is a token id, and not alone{where}", PROMPT))
    if is_blank(value):
        raise InvalidRequestError(Problem(place, f"is empty{where}", "text that is not blank"))
    return RawPrompt(value)
