"""Reads OpenAI's embeddings, and finds what a request of any format wants vectors of.

"input": "…"                      one text
"input": ["…", "…"]               several texts
"input": [101, 7592, 102]         the token ids of one text
"input": [[101, …], [101, …]]     the same of several texts
"dimensions": 256                 shorter vectors, of a model that is trained for them
"encoding_format": "base64"       each vector as little-endian float32, which OpenAI's clients ask for by themselves
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.body_form import BodyForm
from deployments.request.controls import NO_HEADERS
from deployments.request.entries import counting_entries
from deployments.request.inference import InferenceRequest
from deployments.request.native import TEXT_KEYS
from deployments.request.prompts import MAX_PROMPT_TOKENS, Ids
from deployments.request.sampling import TokenId
from deployments.request.structs import does, read_struct
from deployments.request.vector_body import MAX_INPUT_CHARACTERS, MAX_INPUTS, VectorsBody, vector_request

MAX_DIMENSIONS = 1 << 16

_INPUT = f"a text, a list of 1 to {MAX_PROMPT_TOKENS} token ids, or a list of 1 to {MAX_INPUTS} of either, none empty"
_TEXT = f"a text of at most {MAX_INPUT_CHARACTERS} characters with something visible in it, or a list of token ids"

_Text = Annotated[str, Meta(min_length=1, max_length=MAX_INPUT_CHARACTERS)]
_Entry = Annotated[_Text | TokenId | Ids, Meta(extra={"accepted": _TEXT})]
_Input = _Text | Annotated[list[_Entry], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]


class EmbeddingsBody(VectorsBody, frozen=True, kw_only=True):
    """The fields of `POST /v1/embeddings`."""

    input: Annotated[_Input, does("A text, the token ids of one, or a list of either.", accepted=_INPUT)]
    encoding_format: Annotated[
        Literal["float", "base64"], does("How a vector is told: as numbers, or as base64 of little-endian float32.")
    ] = "float"
    dimensions: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None,
        does("Shorter vectors, of a model that is trained for them."),
    ] = None
    prompt_name: Annotated[str, does("Of a model of our own: one of its prompts.")] = ""


EMBEDDINGS_FORM = BodyForm("EmbeddingsRequest", EmbeddingsBody)


class EmbeddingsRequest(Struct, frozen=True):
    """A request for vectors, and the form in which they are to be sent.

    Attributes:
        request: the request.
        base64: each vector is to be the base64 of little-endian float32.
    """

    request: InferenceRequest
    base64: bool = False


class VectorInput(Struct, frozen=True):
    """What a request wants vectors of.

    Attributes:
        field: the field that it is in.
        value: a text, token ids, or a list of either; whatever else a caller of the native API has sent.
        single: the answer is one vector, and no list of them.
    """

    field: str
    value: Any
    single: bool

    @property
    def count(self) -> int:
        """How many vectors are wanted."""
        return 1 if self.single or not isinstance(self.value, list) else len(self.value)


def find_vector_input(inputs: Mapping[str, Any]) -> VectorInput:
    """Return what `inputs` wants vectors of: the first of `TEXT_KEYS` that is not blank."""
    field = next((key for key in TEXT_KEYS if not is_blank(inputs.get(key))), "text")
    value = inputs.get(field)
    return VectorInput(field, value, isinstance(value, str) or (isinstance(value, list) and all(map(is_id, value))))


def is_id(value: Any) -> bool:
    """Return whether `value` is a whole number, as ids of tokens are; any model has its own bound for them."""
    return isinstance(value, int) and not isinstance(value, bool)


@counting_entries
def embeddings_request(body: bytes, limits: Limits, *, headers: Mapping[str, str] = NO_HEADERS) -> EmbeddingsRequest:
    """Read the body of `POST /v1/embeddings`.

    Args:
        body: UTF-8 JSON.
        limits: the bounds of the request.
        headers: the request's headers, by their names in lower case; see `controls`.

    Raises:
        InvalidRequestError: the body is not a valid request; the problem says why.
    """
    data = decode_object(body, limits)
    asked = read_struct(data, EmbeddingsBody)
    _check_input(asked.input)
    inputs: dict[str, Any] = {"input": asked.input}
    if asked.dimensions is not None:
        inputs["dimensions"] = asked.dimensions
    if asked.prompt_name:
        inputs["prompt_name"] = asked.prompt_name
    request = vector_request(
        data,
        asked,
        form=EMBEDDINGS_FORM,
        inputs=inputs,
        count=find_vector_input(inputs).count,
        limits=limits,
        headers=headers,
        text=asked.input if isinstance(asked.input, str) else "",
    )
    return EmbeddingsRequest(request, asked.encoding_format == "base64")


def _check_input(value: str | list[Any]) -> None:
    """Check what the types do not say: that a text says something, and that a list has one kind of entries."""
    if isinstance(value, str):
        if is_blank(value):
            raise InvalidRequestError(Problem("input", "is an empty text", _TEXT))
    elif is_id(value[0]):
        if not all(map(is_id, value)):
            raise InvalidRequestError(Problem("input", "holds what is no token id", _INPUT))
    elif len(value) > MAX_INPUTS:
        raise InvalidRequestError(Problem("input", f"has {len(value)} entries", f"at most {MAX_INPUTS}"))
    else:
        for place, item in enumerate(value):
            if is_id(item) or (isinstance(item, str) and is_blank(item)):
                told = "a token id among texts" if is_id(item) else "an empty text"
                where = f"is {told} (entry {place + 1} of {len(value)})"
                raise InvalidRequestError(Problem(f"input[{place}]", where, _TEXT))
