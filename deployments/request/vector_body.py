"""What all bodies that ask for vectors have in common: embeddings, and scores, which are vectors of one number."""

from collections.abc import Mapping
from typing import Annotated, Any

from deployments.request.body import Limits
from deployments.request.body_form import BodyForm, Common
from deployments.request.controls import with_controls
from deployments.request.fields import read_model
from deployments.request.inference import InferenceRequest
from deployments.request.structs import does

MAX_INPUTS = 2048
"""Texts, or pairs, of one request, as OpenAI has it; a model's spec may have fewer (`embedding.max_texts`)."""

MAX_INPUT_CHARACTERS = 1 << 20
"""Characters of one text: more than any model reads."""


class VectorsBody(Common, frozen=True, kw_only=True):
    """The fields of every body that asks for vectors."""

    user: Annotated[str, does("The id of the caller's end user, passed on to upstreams.")] = ""


def vector_request(
    data: Mapping[str, Any],
    asked: VectorsBody,
    *,
    form: BodyForm,
    inputs: Mapping[str, Any],
    count: int,
    limits: Limits,
    headers: Mapping[str, str],
    text: str = "",
) -> InferenceRequest:
    """Return the request for vectors in a body.

    Args:
        data: the body.
        asked: the same, read.
        form: its format.
        inputs: what vectors are asked of.
        count: how many.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.
        text: the only text; empty where there are several, or none.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    passed = form.passed_on(data)
    request = InferenceRequest(
        inputs=inputs,
        text=text,
        messages=(),
        model=read_model(asked.model),
        timeout_s=limits.timeout_s,
        user=asked.user,
        stream=asked.stream,
        passthrough=passed.fields,
        features=passed.features,
        max_tokens_default=limits.max_tokens,
        vectors=True,
        vector_count=count,
    )
    return with_controls(request, data, headers, limits)
