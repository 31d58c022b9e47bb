"""Whatever is passed through a handle: it is answered with a body, as it would be over HTTP."""

import enum
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.native import from_python
from tests.router.test_last_resort import a_ready_router

LIMITS = Limits(max_bytes=1 << 16, timeout_s=5.0, max_timeout_s=60.0)


class Name(enum.StrEnum):
    """A text that is more than a text."""

    M = "m"


class Odd(str):
    """A text that raises where it is asked for anything."""

    __slots__ = ()

    def __len__(self) -> int:
        raise ZeroDivisionError

    __bool__ = __eq__ = __iter__ = strip = isalnum = __len__  # type: ignore[assignment]
    __hash__ = str.__hash__


class Stubborn:
    """An object that raises where it is asked for anything."""

    def __len__(self) -> int:
        raise ZeroDivisionError

    __bool__ = __eq__ = __iter__ = __str__ = __len__  # type: ignore[assignment]
    __hash__ = object.__hash__


ODD: tuple[Any, ...] = (
    *(np.array([1, 2]), np.array(["a"]), np.float64("nan"), np.array([]), np.datetime64("2026-01-01"), np.str_("m")),
    *(Stubborn(), Odd("m"), Name.M, print, dict, object(), 1j, {1, 2}, b"\xff", bytearray(b"a"), 10**400, range(3)),
    *(float("nan"), float("inf"), "\ud800", "\x00", ("a",), frozenset(), ..., ValueError("x"), "m" * 300),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
    | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner)
    | st.dictionaries(
        st.sampled_from(["text", "input", "model", "messages", "timeout", "tiers", "stream", "stop", 1, None, ""]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


@given(VALUES, VALUES)
def test_any_value_as_a_request_is_a_request_or_a_fault_in_it(data: Any, model: Any) -> None:
    for each, name in ((data, model), (data, ""), ({"text": "Hi"}, model), ({"text": "Hi", "model": model}, None)):
        try:
            assert isinstance(from_python(each, LIMITS, model=name), InferenceRequest)
        except InvalidRequestError as error:
            pickle.dumps(error.problem.to_body("id"))


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
async def test_whatever_is_passed_through_a_handle_gives_a_body(value: Any) -> None:
    router = await a_ready_router()

    for data, model in (({"text": "Hi"}, value), (value, ""), ({"text": value}, ""), ({"text": "Hi", "x": value}, "")):
        whole = await router.infer(data, model=model)
        *_, last = [item async for item in router.infer_stream(data, model)]
        assert whole["result"]
        assert last["result"]


@pytest.mark.parametrize("name", [Name.M, Odd("m"), np.str_("m"), "m"], ids=["enum", "odd", "numpy", "text"])
def test_a_name_that_is_more_than_a_text_is_that_text(name: Any) -> None:
    read = from_python({"text": "Hi"}, LIMITS, model=name)

    assert type(read.model) is str
    assert read.model == "m"


def test_a_model_that_is_no_name_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        from_python({"text": "Hi"}, LIMITS, model=np.array([1]))

    assert refused.value.problem.field == "model"
