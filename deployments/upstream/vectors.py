"""OpenAI's embeddings, as remote models of vectors speak them: bodies of requests, and of answers.

`encoding_format` is never sent: who does not know it refuses it, and some that know `base64` answer with nothing. Both
forms are read, whichever comes.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from deployments.execution.vectors import NoVectorsError, check_vectors, from_little_endian
from deployments.policy.extras import Extras, fields_beside
from deployments.policy.outcome import Answered, Failed
from deployments.request import InferenceRequest
from deployments.request.embeddings import find_vector_input
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.contents import read_usage_of_input

VECTORS = "embeddings"
"""Their path below a base URL."""

_TOLD_ELSEWHERE = frozenset({"object", "data", "model", "usage", "id", "created"})
_INPUTS = ("dimensions", "prompt_name", "input_type")


def to_vectors_body(request: InferenceRequest, spec: RemoteSpec) -> dict[str, Any]:
    """Return the body of `POST embeddings` for `request`; fields that are only passed on go beside what is set here."""
    body = {**request.passthrough, "model": spec.model, "input": find_vector_input(request.inputs).value}
    body |= {key: value for key in _INPUTS if (value := request.inputs.get(key)) is not None}
    return {**body, "user": request.user} if request.user else body


def read_vectors(value: Any, request: InferenceRequest, space: str) -> Answered | Failed:
    """Return the vectors in the decoded body of a response, in the order of the texts that were asked about.

    Args:
        value: the body.
        request: what was asked.
        space: the vector space of the model.
    """
    wanted = find_vector_input(request.inputs)
    data = value.get("data") if isinstance(value, Mapping) else None
    if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
        return Failed("its response has no list of vectors (data)")
    try:
        vectors = [_read_vector(item.get("embedding")) for item in _in_order(data)]
        check_vectors(vectors, wanted.count)
    except NoVectorsError as error:
        return Failed(f"it {error}")
    about = {**fields_beside(value, _TOLD_ELSEWHERE), "dimensions": len(vectors[0]), "space": space}
    result = vectors[0] if wanted.single else vectors
    return Answered(result, read_usage_of_input(value.get("usage")), extras=Extras(body=about))


def _in_order(data: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the items by their places; in the order in which they came where they name none.

    Raises:
        NoVectorsError: two have the same place, or one is beyond the others.
    """
    places = [item.get("index") for item in data]
    if not any(isinstance(place, int) for place in places):
        return data
    if sorted(place for place in places if isinstance(place, int)) != list(range(len(data))):
        raise NoVectorsError("gave vectors whose places cannot be told")
    return sorted(data, key=lambda item: int(item["index"]))


def _read_vector(value: Any) -> list[float]:
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise NoVectorsError("gave an item without a vector")
    try:
        return from_little_endian(b64decode(value, validate=True))
    except binascii.Error as error:
        raise NoVectorsError("gave a vector that is no base64") from error
