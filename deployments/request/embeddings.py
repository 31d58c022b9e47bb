"""Reads OpenAI's embeddings, and finds what a request of any format wants vectors of.

"input": "…"                      one text
"input": ["…", "…"]               several texts
"input": [101, 7592, 102]         the token ids of one text
"input": [[101, …], [101, …]]     the same of several texts
"dimensions": 256                 shorter vectors, of a model that is trained for them
"encoding_format": "base64"       each vector as little-endian float32, which OpenAI's clients ask for by themselves
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deployments.policy.blank import is_blank
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.body import Limits, decode_object
from deployments.request.controls import CONTROL_KEYS, NO_HEADERS, with_controls
from deployments.request.fields import kind, read_flag, read_model, read_name, refuse
from deployments.request.inference import InferenceRequest
from deployments.request.knobs import Whole, is_token
from deployments.request.native import TEXT_KEYS
from deployments.request.passing import read_passed
from deployments.request.prompts import MAX_PROMPT_TOKENS

MAX_INPUTS = 2048
"""Texts of one request, as OpenAI has it; a model's spec may have fewer (`embedding.max_texts`)."""

MAX_INPUT_CHARACTERS = 1 << 20
"""Characters of one text: more than any model reads."""

MAX_DIMENSIONS = 1 << 16

EMBEDDINGS_PARAMETERS = CONTROL_KEYS | {
    "model",
    "input",
    "encoding_format",
    "dimensions",
    "prompt_name",
    "user",
    "stream",
}
"""The keys that are read here. `prompt_name` names one of the prompts of a model of our own."""

_ENCODINGS = ("float", "base64")
_INPUT = f"a text, a list of 1 to {MAX_PROMPT_TOKENS} token ids, or a list of 1 to {MAX_INPUTS} of either, none empty"
_TEXT = f"a text of at most {MAX_INPUT_CHARACTERS} characters with something visible in it, or a list of token ids"


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
    value = data.get("input")
    _check_input(value)
    passed = read_passed(data, EMBEDDINGS_PARAMETERS, frozenset())
    inputs: dict[str, Any] = {"input": value}
    if (dimensions := data.get("dimensions")) is not None:
        inputs["dimensions"] = Whole(1, MAX_DIMENSIONS).read("dimensions", dimensions)
    if prompt_name := read_name(data, "prompt_name"):
        inputs["prompt_name"] = prompt_name
    request = InferenceRequest(
        inputs=inputs,
        text=value if isinstance(value, str) else "",
        messages=(),
        model=read_model(data),
        timeout_s=limits.timeout_s,
        user=read_name(data, "user"),
        stream=read_flag(data, "stream") or False,
        passthrough=passed.fields,
        features=passed.features,
        max_tokens_default=limits.max_tokens,
        vectors=True,
        vector_count=find_vector_input(inputs).count,
    )
    return EmbeddingsRequest(with_controls(request, data, headers, limits), _read_base64(data))


def _read_base64(data: Mapping[str, Any]) -> bool:
    value = data.get("encoding_format")
    if value is None:
        return False
    if not isinstance(value, str):
        raise refuse("encoding_format", value, " or ".join(_ENCODINGS))
    if value not in _ENCODINGS:
        raise InvalidRequestError(Problem("encoding_format", "is none that is known here", " or ".join(_ENCODINGS)))
    return value == "base64"


def _check_input(value: Any) -> None:
    """Check what vectors are wanted of; of a list, the place and the count are told."""
    if isinstance(value, str):
        check_text(value, "input", "")
        return
    if not isinstance(value, list) or not value:
        raise refuse("input", value, _INPUT)
    if is_id(value[0]):
        _check_ids(value, "input", "")
        return
    if len(value) > MAX_INPUTS:
        raise InvalidRequestError(Problem("input", f"has {len(value)} entries", f"at most {MAX_INPUTS}"))
    for place, item in enumerate(value):
        where = f" (entry {place + 1} of {len(value)})"
        if isinstance(item, str):
            check_text(item, f"input[{place}]", where)
        elif isinstance(item, list) and item:
            _check_ids(item, f"input[{place}]", where)
        else:
            raise InvalidRequestError(Problem(f"input[{place}]", f"is {kind(item)}{where}", _TEXT))


def check_text(text: str, field: str, where: str) -> None:
    """Check a text; `where` says which one of how many it is.

    Raises:
        InvalidRequestError: it is blank, or longer than any model reads.
    """
    if is_blank(text):
        raise InvalidRequestError(Problem(field, f"is an empty text{where}", _TEXT))
    if len(text) > MAX_INPUT_CHARACTERS:
        raise InvalidRequestError(Problem(field, f"has {len(text)} characters{where}", _TEXT))


def _check_ids(ids: list[Any], field: str, where: str) -> None:
    if len(ids) > MAX_PROMPT_TOKENS:
        raise InvalidRequestError(Problem(field, f"has {len(ids)} token ids{where}", f"at most {MAX_PROMPT_TOKENS}"))
    if not all(map(is_token, ids)):
        raise InvalidRequestError(Problem(field, f"holds what is no token id{where}", _INPUT))
