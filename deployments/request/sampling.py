"""The sampling parameters of all formats: each is one line of `Parameters`, which has its name and what it accepts.

A new parameter is a line here, a field of the same name in `generation.Sampling`, and the engines that do it: readers,
the bodies of upstreams, and what an engine is given follow from the names.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, get_type_hints

from msgspec import Struct, field, to_builtins

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.fields import MAX_COUNT
from deployments.request.knobs import Bias, Flag, Knob, Number, StopTexts, TokenIds, Whole

MAX_SEED = (1 << 63) - 1
"""The largest seed: engines take 64-bit integers, some signed and some unsigned."""


class Parameters(Struct, frozen=True, omit_defaults=True):
    """Sampling parameters, in the terms of OpenAI's and vLLM's APIs. `None`, or nothing in it, leaves one to the model.

    Attributes:
        max_tokens: the longest answer in tokens.
        temperature: with 0 the likeliest token is always taken.
        top_p: the share of the probability that the likeliest tokens have from which one is drawn.
        stop: texts that end the answer and are not part of it.
        seed: the same seed and request sample the same answer, where the model can.
        presence_penalty: subtracted from the logit of each token that has been written.
        frequency_penalty: subtracted from the logit of a token once for each time that it has been written.
        logit_bias: from a token id, as a text, to the number that is added to its logit.
        top_k: how many of the likeliest tokens one is drawn from; 0 and -1 for all.
        min_p: tokens are left out that have less than this share of the likeliest token's probability.
        repetition_penalty: divides the positive logits of tokens of the prompt and the answer, and multiplies others.
        min_tokens: the answer does not end before it has this many tokens.
        ignore_eos: the end token does not end the answer.
        stop_token_ids: tokens that end the answer.
    """

    max_tokens: Annotated[int | None, Whole(1, MAX_COUNT)] = None
    temperature: Annotated[float | None, Number(0, 2)] = None
    top_p: Annotated[float | None, Number(0, 1, above_low=True)] = None
    stop: Annotated[tuple[str, ...], StopTexts()] = ()
    seed: Annotated[int | None, Whole(0, MAX_SEED)] = None
    presence_penalty: Annotated[float | None, Number(-2, 2)] = None
    frequency_penalty: Annotated[float | None, Number(-2, 2)] = None
    logit_bias: Annotated[Mapping[str, float], Bias()] = field(default_factory=dict)
    top_k: Annotated[int | None, Whole(-1, MAX_COUNT)] = None
    min_p: Annotated[float | None, Number(0, 1)] = None
    repetition_penalty: Annotated[float | None, Number(0, 10, above_low=True)] = None
    min_tokens: Annotated[int | None, Whole(0, MAX_COUNT)] = None
    ignore_eos: Annotated[bool | None, Flag()] = None
    stop_token_ids: Annotated[tuple[int, ...], TokenIds()] = ()

    def sent(self) -> dict[str, Any]:
        """Return the parameters that the caller has set, by their names; 0 and false are values."""
        sent: dict[str, Any] = to_builtins(self)  # without the defaults: see the class
        return sent


SAMPLING_KEYS = tuple(Parameters.__struct_fields__)
"""The names of all sampling parameters."""

NO_PARAMETERS = Parameters()
"""Leaves every parameter to the model."""


def read_parameters(data: Mapping[str, Any], fields: Mapping[str, str] = {}) -> Parameters:
    """Read the sampling parameters in `data`. A parameter that is `null` counts as not sent.

    Args:
        data: the request.
        fields: the fields of parameters that have another name in the format, by the names of the parameters.

    Raises:
        InvalidRequestError: a parameter is not valid, or two contradict each other.
    """
    knobs = _knobs()
    if data.keys().isdisjoint(knobs.keys()) and not fields:
        return NO_PARAMETERS
    read = {
        name: knobs[name].read(key, value)
        for name in SAMPLING_KEYS
        if (value := data.get(key := fields.get(name, name))) is not None
    }
    parameters = Parameters(**read)
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


@cache
def _knobs() -> Mapping[str, Knob]:
    hints = get_type_hints(Parameters, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in SAMPLING_KEYS}
