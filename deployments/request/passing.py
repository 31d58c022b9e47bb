"""Fields of OpenAI's format that are not acted on here: they are passed on to upstreams as they were sent.

    what it is                        a remote model         a model of our own
    neutral (`store`, `metadata`)     gets it                answers without it, as it changes nothing about the answer
    a hint (`reasoning_effort`)       gets it                answers without it, and the answer lists it as dropped
    anything else                     gets it                the same; refused by name where no candidate is remote

A value that asks for nothing (`n: 1`) is left out. What stays here is in the structs of each format: see `body_form`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from msgspec import Meta, Struct, field, inspect, to_builtins

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.inference import Feature
from deployments.request.structs import does, read_struct
from deployments.request.words import unwrapped

OF_TEXTS = frozenset({"best_of", "echo", "suffix"})
"""Fields of text completions that no chat has."""

MAX_FIELDS = 64
MAX_FIELD_NAME = 128
MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20

_Choices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
TopLogprobs = Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)]
_Nought = Annotated[int, Meta(ge=0, le=0)]


class Neutral(Struct, frozen=True, kw_only=True):
    """Fields about how a provider stores, bills or routes: an answer without them is the same answer."""

    metadata: Annotated[Any, does("Names and texts that a provider keeps with the answer.")] = None
    prompt_cache_key: Annotated[Any, does("What a provider finds its cache of prompts by.")] = None
    prompt_cache_retention: Annotated[Any, does("How long a provider keeps its cache of the prompt.")] = None
    safety_identifier: Annotated[Any, does("By what a provider knows the end user.")] = None
    service_tier: Annotated[Any, does("At which price and speed a provider is to answer.")] = None
    store: Annotated[Any, does("Whether a provider is to keep the answer.")] = None


class PassedOn(Neutral, frozen=True, kw_only=True):
    """Fields that some models have. The default asks for nothing; so does `null`, in every field.

    What is said of a field is `hint` where every model may answer without it, and its `feature`: the name under which
    it is listed, where that is not its own.
    """

    n: Annotated[_Choices, does("How many choices are to be written; of a model of our own at most 16.")] = 1
    logprobs: Annotated[
        bool | _Nought, does("The log probabilities of the tokens are told.", accepted="true or false")
    ] = False
    top_logprobs: Annotated[
        TopLogprobs, does("So many of the likeliest tokens of each place are told.", feature="logprobs")
    ] = 0
    modalities: Annotated[list[str], does("The kinds of answers that are wanted.", feature="audio")] = field(
        default_factory=lambda: ["text"]
    )
    audio: Annotated[Any, does("How an answer in sound is to be.", feature="audio")] = None
    reasoning_effort: Annotated[Any, does("How long a model is to think.", hint=True)] = None
    verbosity: Annotated[Any, does("How much a model is to say.", hint=True)] = None
    best_of: Annotated[_Choices, does("The best of so many texts; for servers and remotes with text completions.")] = 1
    suffix: Annotated[str, does("What follows the text; for servers and remotes with text completions.")] = ""
    echo: Annotated[bool, does("The answer begins with what it continues.")] = False
    continue_final_message: Annotated[bool, does("The last message is the beginning of the answer.")] = False
    add_generation_prompt: Annotated[bool, does("The model is to begin an answer.")] = True


NEUTRAL = frozenset(Neutral.__struct_fields__)
_SAID = {each.name: unwrapped(each.type)[1] for each in inspect.type_info(PassedOn).fields}  # type: ignore[attr-defined]
_IDLE = to_builtins(PassedOn())
_HINTS = frozenset(name for name, said in _SAID.items() if said.get("hint"))


class Passed(Struct, frozen=True):
    """The fields of one request that are passed on, and the features that they use."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[Feature, ...] = ()


NOTHING_PASSED = Passed()


def read_passed(
    data: Mapping[str, Any],
    acted_on: AbstractSet[str],
    refused: AbstractSet[str] = frozenset(),
    known: type[Struct] = PassedOn,
) -> Passed:
    """Return the fields of a request that are not `acted_on` here.

    Args:
        data: the request.
        acted_on: the fields that are read elsewhere.
        refused: the fields that no model can be asked for in this format.
        known: those of the others that are known.

    Raises:
        InvalidRequestError: a field cannot be passed on, its value is none of that field, or there are too many.
    """
    if data.keys() <= acted_on:
        return NOTHING_PASSED
    sent = {key: value for key, value in data.items() if key not in acted_on and not _asks_for_nothing(key, value)}
    if len(sent) > MAX_FIELDS:
        raise InvalidRequestError(
            Problem("body", f"has {len(sent)} fields that are not known here", f"at most {MAX_FIELDS} of those")
        )
    features: dict[str, Feature] = {}
    for key in sent:
        _check(key, refused)
        if key not in NEUTRAL:
            name = _SAID.get(key, {}).get("feature", key)
            features.setdefault(name, Feature(name, key, essential=key not in _HINTS))
    read_struct(sent, known)
    if "top_logprobs" in sent and not sent.get("logprobs"):
        raise InvalidRequestError(Problem("top_logprobs", "is given without logprobs", "logprobs: true beside it"))
    return Passed(sent, tuple(features.values()))


def _asks_for_nothing(key: str, value: Any) -> bool:
    if value is None:
        return True
    # False equals 0 in Python, and True equals 1, so the types are compared, too: `n: true` is not `n: 1`.
    idle = _IDLE.get(key)
    return idle is not None and value == idle and (type(value) is type(idle) or (key == "logprobs" and value == 0))


def _check(key: str, refused: AbstractSet[str]) -> None:
    if len(key) > MAX_FIELD_NAME or not key:
        problem = "has no name" if not key else "has a name that is too long"
        raise InvalidRequestError(Problem(key[:64] or "body", problem, f"a field of at most {MAX_FIELD_NAME} letters"))
    if key in refused:
        idle = _IDLE.get(key)
        nothing = ["null"] if idle is None else ["null", str(idle).lower() or "an empty text"]
        raise InvalidRequestError(Problem(key, "is not supported", " or ".join(nothing)))
