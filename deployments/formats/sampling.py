"""From the parameters of a request to the sampling of a generation.

what the caller sets        goes before
what the spec sets          (`generation`), which goes before
what the model recommends   in its `generation_config.json`, or in the metadata of its GGUF file, which goes before
OpenAI's defaults           a temperature of 1, and nothing left out
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from deployments.generation import (
    BatchFullError,
    CannotGenerateError,
    PromptTooLongError,
    Sampling,
    ShortestAnswerError,
    UnknownTokenError,
    UnsupportedSamplingError,
)
from deployments.observability import log
from deployments.policy.deadline import writing_s
from deployments.policy.outcome import Outcome, Refused, Rejected
from deployments.policy.problem import CONTEXT_LENGTH, UNSUPPORTED, InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.sampling import read_parameters
from deployments.settings import GenerationDefaults

RECOMMENDED = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""What a model may recommend."""

_OPENAI = {"temperature": 1.0}
_OF_ENGINES = frozenset(field.name for field in fields(Sampling))


def defaults_of(name: str, recommended: Mapping[str, Any], spec: GenerationDefaults) -> Mapping[str, Any]:
    """Return the sampling of requests that set none.

    Args:
        name: what log lines call the model.
        recommended: what the model recommends, by the names of requests; a value that no request may have is left out,
            and logged.
        spec: what the spec sets.
    """
    found: dict[str, Any] = dict(_OPENAI)
    for key in RECOMMENDED:
        value = recommended.get(key)
        try:
            found |= read_parameters({key: value}).sent()
        except InvalidRequestError as error:
            log.recommendation_ignored(name, key, error.problem.accepted)
    return found if spec.temperature is None else found | {"temperature": spec.temperature}


def to_sampling(
    request: InferenceRequest, defaults: Mapping[str, Any], spec: GenerationDefaults, budget_s: float
) -> Sampling:
    """Return the sampling for `request`, whose answer is due in `budget_s` seconds.

    A longer answer than the spec allows is not refused: clients set a `max_tokens` that is never reached, as a bound.

    Raises:
        ShortestAnswerError: `min_tokens` is above what the spec allows.
        UnsupportedSamplingError: no engine has one of the parameters.
    """
    wanted = {**defaults, **request.parameters.sent()}
    if not wanted.keys() <= _OF_ENGINES:
        raise UnsupportedSamplingError(next(name for name in wanted if name not in _OF_ENGINES))
    least = wanted.get("min_tokens", 0)
    if least > spec.max_tokens_limit:
        raise ShortestAnswerError(
            f"the answer is to have {least} tokens at least; accepted: at most {spec.max_tokens_limit}"
        )
    most = wanted.pop("max_tokens", None) or max(spec.max_tokens or request.max_tokens_default, least)
    wanted["logit_bias"] = {int(token): bias for token, bias in request.parameters.logit_bias.items()}
    wanted["top_k"] = max(0, wanted.get("top_k", 0))
    return Sampling(
        max_tokens=min(most, spec.max_tokens_limit),
        budget_s=writing_s(budget_s),
        logprobs=request.logprobs,
        **wanted,
    )


def not_generated(error: CannotGenerateError, request: InferenceRequest) -> Outcome:
    """Return the outcome of a request that the engine does not take; another model may take it."""
    match error:
        case PromptTooLongError():
            return Rejected(str(error), _prompt_field(request), CONTEXT_LENGTH, elsewhere=True)
        case ShortestAnswerError():
            return Rejected(str(error), "min_tokens", UNSUPPORTED, elsewhere=True)
        case UnsupportedSamplingError(parameter="top_logprobs") if (
            request.raw
        ):  # its number is that of `logprobs` there
            return Rejected("its engine supports no logprobs above 0", "logprobs", UNSUPPORTED, elsewhere=True)
        case UnsupportedSamplingError(parameter=parameter):
            return Rejected(str(error), parameter, UNSUPPORTED, elsewhere=True)
        case UnknownTokenError():
            return Rejected(str(error), _prompt_field(request), elsewhere=True)
        case _:
            return Refused(str(error), full=isinstance(error, BatchFullError))


def _prompt_field(request: InferenceRequest) -> str:
    if request.messages:
        return "messages"
    return "prompt" if request.raw else "text"
