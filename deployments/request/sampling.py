"""The sampling parameters of all formats: each is one line of `Parameters`, with its name, its bounds and its meaning.

A new parameter is a line here: readers of all formats, errors, `/openapi.json`, `docs/api.md` and the bodies of
upstreams follow from it, and models of our own refuse it by name. An engine that does it has a field of the same name
in `generation.Sampling`, and a line where it acts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct, field, to_builtins
from msgspec.structs import asdict, force_setattr

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_COUNT
from deployments.request.structs import does, read_struct

MAX_SEED = (1 << 63) - 1
"""The largest seed: engines take 64-bit integers, some signed and some unsigned."""

MAX_TOKEN = 10**9 - 1
"""The largest id of a token: of far more tokens than any vocabulary has."""

Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
TokenId = Annotated[
    int, Meta(ge=0, le=MAX_TOKEN, extra={"one": "a token id", "many": f"token ids, from 0 to {MAX_TOKEN}"})
]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_Biased = Annotated[str, Meta(pattern=r"^[0-9]{1,9}$", extra={"many": "token ids"})]
_Bias = Annotated[dict[_Biased, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)]
_StopText = Annotated[str, Meta(min_length=1, max_length=256)]  # white space is a sensible one
if TYPE_CHECKING:  # one text is several, once it has been read
    Stops = tuple[str, ...]
else:
    Stops = _StopText | Annotated[tuple[_StopText, ...], Meta(max_length=64)]
"""Texts that end an answer, as they are sent and as they are held."""


class Parameters(Struct, frozen=True, omit_defaults=True):
    """Sampling parameters in OpenAI's and vLLM's terms. `None`, or nothing in it, is left to the model."""

    max_tokens: Annotated[Count | None, does("The longest answer in tokens.")] = None
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None, does("With 0 the likeliest token is always taken.")
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        does("The share of the probability that the likeliest tokens have from which one is drawn."),
    ] = None
    stop: Annotated[Stops, does("Texts that end the answer and are not part of it.")] = ()
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_SEED)] | None,
        does("The same seed samples the same answer, where that can be."),
    ] = None
    presence_penalty: Annotated[
        _Penalty | None, does("Subtracted from the logit of each token that has been written.")
    ] = None
    frequency_penalty: Annotated[
        _Penalty | None, does("Subtracted from the logit of a token once for each time that it has been written.")
    ] = None
    logit_bias: Annotated[_Bias, does("From a token id, as a text, to the number that is added to its logit.")] = field(
        default_factory=dict
    )
    top_k: Annotated[
        Annotated[int, Meta(ge=-1, le=MAX_COUNT)] | None,
        does("How many of the likeliest tokens one is drawn from; 0 and -1 for all."),
    ] = None
    min_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        does("Tokens are left out that have less than this share of the likeliest token's probability."),
    ] = None
    repetition_penalty: Annotated[
        Annotated[float, Meta(gt=0, le=10)] | None,
        does("Divides the positive logits of tokens of the prompt and the answer, and multiplies others."),
    ] = None
    min_tokens: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None,
        does("The answer does not end before it has this many tokens."),
    ] = None
    ignore_eos: Annotated[bool | None, does("The end token does not end the answer.")] = None
    stop_token_ids: Annotated[
        Annotated[tuple[TokenId, ...], Meta(max_length=64)], does("Tokens that end the answer.")
    ] = ()

    def __post_init__(self) -> None:
        """Hold a single text of `stop` as several are held."""
        if isinstance(self.stop, str):
            force_setattr(self, "stop", (self.stop,))

    def sent(self) -> dict[str, Any]:
        """Return the parameters that the caller has set, by their names; 0 and false are values."""
        sent: dict[str, Any] = to_builtins(self)  # without the defaults: see the class
        return sent


SAMPLING_KEYS = tuple(Parameters.__struct_fields__)
"""The names of all sampling parameters."""

_NAMES = frozenset(SAMPLING_KEYS)

NO_PARAMETERS = Parameters()
"""Leaves every parameter to the model."""


def read_parameters(data: Mapping[str, Any], form: type[Parameters] = Parameters) -> Parameters:
    """Read the sampling parameters in `data`. A parameter that is `null` counts as not sent.

    Args:
        data: the request.
        form: the parameters of a format that has names of its own for some: see `msgspec.Struct`'s `rename`.

    Raises:
        InvalidRequestError: a parameter is not valid, or two contradict each other.
    """
    if form is Parameters and data.keys().isdisjoint(_NAMES):
        return NO_PARAMETERS
    parameters = read_struct(data, form)
    if form is not Parameters:
        parameters = Parameters(**asdict(parameters))
    check_lengths(parameters)
    return parameters


def check_lengths(parameters: Parameters) -> None:
    """Refuse a shortest answer that is longer than the longest.

    Raises:
        InvalidRequestError: `min_tokens` is above `max_tokens`.
    """
    least, most = parameters.min_tokens, parameters.max_tokens
    if least is not None and most is not None and least > most:
        raise InvalidRequestError(Problem("min_tokens", "is above max_tokens", f"at most {most}"))
