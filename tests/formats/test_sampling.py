"""From the parameters of a request to the sampling of a generation."""

from typing import Annotated

import orjson
import pytest
from msgspec import Meta, json
from msgspec.structs import replace

from deployments.formats.sampling import not_generated, to_sampling
from deployments.generation import UnsupportedSamplingError
from deployments.policy.outcome import Rejected
from deployments.request import InferenceRequest
from deployments.request.native import from_body
from deployments.request.sampling import Parameters
from deployments.request.structs import does, read_struct
from deployments.settings import GenerationDefaults
from tests.request.test_openai import LIMITS


class More(Parameters, frozen=True):
    """The parameters, and one that no engine has."""

    typical_p: Annotated[Annotated[float, Meta(gt=0, le=1)] | None, does("Of remote models.")] = None


def asked(parameters: Parameters) -> InferenceRequest:
    return replace(from_body(b'{"text": "Hi"}', LIMITS), parameters=parameters)


def test_a_parameter_that_no_engine_has_is_refused_by_its_name_and_another_model_may_have_it() -> None:
    request = asked(read_struct(orjson.loads(b'{"typical_p": 0.5, "top_k": 3}'), More))

    with pytest.raises(UnsupportedSamplingError) as caught:
        to_sampling(request, {}, GenerationDefaults(), 5.0)

    outcome = not_generated(caught.value, request)
    assert isinstance(outcome, Rejected)
    assert (outcome.field, outcome.elsewhere) == ("typical_p", True)
    assert json.encode(request.parameters) == b'{"top_k":3,"typical_p":0.5}'


def test_parameters_that_are_not_set_are_left_to_the_model() -> None:
    sampling = to_sampling(asked(Parameters(top_k=-1)), {"temperature": 1.0}, GenerationDefaults(), 5.0)

    assert (sampling.top_k, sampling.top_p, sampling.temperature) == (0, 1.0, 1.0)
