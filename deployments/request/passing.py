"""Fields of OpenAI's format that are not acted on here: they are passed on to upstreams as they were sent.

    what it is                        a remote model         a model of our own
    neutral (`store`, `metadata`)     gets it                answers without it, as it changes nothing about the answer
    a hint (`reasoning_effort`)       gets it                answers without it, and the answer lists it as dropped
    anything else                     gets it                the same; refused by name where no candidate is remote

A value that asks for nothing (`n: 1`) is left out. What stays here is named in `openai`: the controls, `model`,
`stream`, and the fields that are read into a request.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from msgspec import Struct, field

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import kind, refuse
from deployments.request.inference import Feature

NEUTRAL = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
    }
)
"""Fields about how a provider stores, bills or routes: an answer without them is the same answer."""

HINTS = frozenset({"reasoning_effort", "verbosity"})
"""Fields that every model may answer without."""

OF_TEXTS = frozenset({"best_of", "echo", "suffix"})
"""Fields of text completions that no chat has."""

MAX_FIELDS = 64
MAX_FIELD_NAME = 128
MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20

_IDLE: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "continue_final_message": (False,),
    "add_generation_prompt": (True,),
}
"""The values that ask for nothing; so does `null`, in every field."""

_ONE_FORM = {"logprobs": "logprobs", "top_logprobs": "logprobs", "modalities": "audio", "audio": "audio"}
"""The names under which fields are listed that ask for the same thing together."""


class Passed(Struct, frozen=True):
    """The fields of one request that are passed on, and the features that they use."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[Feature, ...] = ()


NOTHING_PASSED = Passed()


def read_passed(data: Mapping[str, Any], known: AbstractSet[str], refused: AbstractSet[str]) -> Passed:
    """Return the fields of a request that are not `known`.

    Args:
        data: the request.
        known: the fields that are read elsewhere.
        refused: the fields that no model can be asked for in this format.

    Raises:
        InvalidRequestError: a field cannot be passed on, its value is none of that field, or there are too many.
    """
    if data.keys() <= known:
        return NOTHING_PASSED
    sent = {key: value for key, value in data.items() if key not in known and not _asks_for_nothing(key, value)}
    if len(sent) > MAX_FIELDS:
        raise InvalidRequestError(
            Problem("body", f"has {len(sent)} fields that are not known here", f"at most {MAX_FIELDS} of those")
        )
    if "top_logprobs" in sent and not sent.get("logprobs"):
        raise InvalidRequestError(Problem("top_logprobs", "is given without logprobs", "logprobs: true beside it"))
    features: dict[str, Feature] = {}
    for key, value in sent.items():
        _check(key, value, refused)
        if key not in NEUTRAL:
            name = _ONE_FORM.get(key, key)
            features.setdefault(name, Feature(name, key, essential=key not in HINTS))
    return Passed(sent, tuple(features.values()))


def _asks_for_nothing(key: str, value: Any) -> bool:
    # False equals 0 in Python, and True equals 1, so the types are compared, too: `n: true` is not `n: 1`.
    return value is None or any(value == idle and type(value) is type(idle) for idle in _IDLE.get(key, ()))


def _check(key: str, value: Any, refused: AbstractSet[str]) -> None:
    if len(key) > MAX_FIELD_NAME or not key:
        problem = "has no name" if not key else "has a name that is too long"
        raise InvalidRequestError(Problem(key[:64] or "body", problem, f"a field of at most {MAX_FIELD_NAME} letters"))
    if key in refused:
        idle = [str(each).lower() or "an empty text" for each in _IDLE.get(key, ())]
        raise InvalidRequestError(Problem(key, "is not supported", " or ".join(["null", *idle])))
    match key:
        case "n":
            _check_whole(key, value, 1, MAX_CHOICES)
        case "best_of":
            _check_whole(key, value, 1, MAX_CHOICES)
        case "suffix" if not isinstance(value, str):
            raise refuse(key, value, "a text")
        case "top_logprobs":
            _check_whole(key, value, 0, MAX_TOP_LOGPROBS)
        case "logprobs" if not isinstance(value, bool):
            raise refuse(key, value, "true or false")
        case "modalities" if not isinstance(value, list):
            raise refuse(key, value, "a list of texts")


def _check_whole(key: str, value: Any, low: int, high: int) -> None:
    accepted = f"a whole number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(key, value, accepted)
    if not low <= value <= high:
        raise InvalidRequestError(Problem(key, f"is {kind(value)} out of range", accepted))
