"""Checks that an answer is the vectors that were asked for and nothing else: as many, of one length, of finite numbers.

Whoever asked compares a vector with others: one too few, one of another length, or one with a hole in it would be
compared, too, and nobody would notice.
"""

import asyncio
import math
import sys
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

from deployments.execution.attempt import Conform
from deployments.policy.outcome import Answered, Failed
from deployments.request import InferenceRequest

_Vector = Sequence[float]

_AT_ONCE = 1 << 16
"""Numbers that are checked on the event loop, which takes a millisecond; more of them are checked in a thread."""


class NoVectorsError(Exception):
    """A value is no vectors; the text says why, worded to follow its owner."""


class OtherDimensionsError(NoVectorsError):
    """The vectors are proper ones, but of other dimensions than were asked for."""


def conform_to_vectors(request: InferenceRequest) -> Conform | None:
    """Return the check of answers to `request`; `None` where it does not say how many vectors it wants."""
    if not request.vector_count:
        return None
    wanted = request.inputs.get("dimensions")
    return partial(_conform, count=request.vector_count, dimensions=wanted if isinstance(wanted, int) else 0)


async def _conform(answered: Answered, count: int, dimensions: int) -> Answered | Failed:
    try:
        vectors = vectors_in(answered.result)
        if sum(map(len, vectors)) > _AT_ONCE:
            await asyncio.to_thread(check_vectors, vectors, count, dimensions)
        else:
            check_vectors(vectors, count, dimensions)
    except NoVectorsError as error:
        # A model that does not know `dimensions` is well for everybody else.
        return Failed(f"it {error}", misfit=isinstance(error, OtherDimensionsError))
    return answered


def vectors_in(result: Any) -> Sequence[_Vector]:
    """Return the vectors in the result of an answer: one vector, or a list of them.

    Raises:
        NoVectorsError: it is neither.
    """
    if not isinstance(result, list) or not result:
        raise NoVectorsError("gave no list of vectors")
    if not isinstance(result[0], list):
        return (result,)
    if not all(isinstance(vector, list) for vector in result):
        raise NoVectorsError("gave a list that holds more than vectors")
    return result


def check_vectors(vectors: Sequence[_Vector], count: int, dimensions: int = 0) -> None:
    """Check `vectors`.

    Args:
        vectors: the vectors.
        count: how many there have to be.
        dimensions: the length that each has to have; 0 where any will do, as long as all have the same.

    Raises:
        NoVectorsError: they are not as they have to be.
    """
    if len(vectors) != count:
        raise NoVectorsError(f"gave {len(vectors)} vectors, and {count} were asked for")
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1 or not min(lengths):
        raise NoVectorsError(f"gave vectors of {min(lengths)} to {max(lengths)} dimensions")
    if dimensions and lengths != {dimensions}:
        raise OtherDimensionsError(f"gave vectors of {max(lengths)} dimensions, and {dimensions} were asked for")
    for vector in vectors:
        if not math.isfinite(sum(_packed(vector))):
            raise NoVectorsError("gave a vector with NaN or an infinity in it")


def little_endian(vector: _Vector) -> bytes:
    """Return a vector as float32, the least significant byte first."""
    packed = _packed(vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def from_little_endian(data: bytes) -> list[float]:
    """Return the vector in the bytes of `little_endian`.

    Raises:
        NoVectorsError: they are no whole numbers of bytes.
    """
    packed = array("f")
    if not data or len(data) % packed.itemsize:
        raise NoVectorsError("gave a vector that is cut off")
    packed.frombytes(data)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()


def _packed(vector: _Vector) -> "array[float]":
    try:
        return array("f", vector)
    except (TypeError, OverflowError) as error:
        raise NoVectorsError("gave a vector that holds more than numbers") from error
