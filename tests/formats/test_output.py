"""What a model returns reaches the caller as JSON, or is a failure of the model."""

import dataclasses
from collections import UserString
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
import torch
from pydantic import BaseModel

from deployments.formats.output import output_to_outcome
from deployments.policy.outcome import Answered, Blank, Failed


@dataclasses.dataclass
class Label:
    name: str
    score: float


class Weather(BaseModel):
    place: str
    degrees: float


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        ("text", "text"),
        ("é", "é"),
        (0, 0),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.float32(0.5), 0.5),
        (torch.tensor([1.5]), [1.5]),
        ({"a": {1}}, {"a": [1]}),
        ((1, 2), [1, 2]),
        ({1: "one"}, {"1": "one"}),
        (Label("cat", 0.5), {"name": "cat", "score": 0.5}),
        ([1.0, float("nan"), float("inf")], [1.0, None, None]),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
        (Weather(place="here", degrees=20.5), {"place": "here", "degrees": 20.5}),
        ([np.int64(3), np.bool_(True), np.str_("x")], [3, True, "x"]),
        (np.array([1.0, np.nan]), [1.0, None]),
    ],
)
def test_a_result_is_given_as_its_json(returned: Any, result: Any) -> None:
    assert output_to_outcome(returned) == Answered(result)


@pytest.mark.parametrize(
    "returned", [None, "", np.array([]), torch.full((2,), torch.nan), UserString(" "), [{}], pd.DataFrame()]
)
def test_a_result_with_nothing_in_it_is_blank(returned: Any) -> None:
    assert isinstance(output_to_outcome(returned), Blank)


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("returned", [object(), "\ud800", nested(300)], ids=["object", "surrogate", "deep"])
def test_a_result_that_json_cannot_hold_is_a_failure_of_the_model(returned: Any) -> None:
    assert isinstance(output_to_outcome(returned), Failed)


@pytest.mark.parametrize("levels", range(245, 256))
def test_whatever_is_judged_an_answer_can_be_written_into_the_body(levels: int) -> None:
    outcome = output_to_outcome(nested(levels))

    if isinstance(outcome, Answered):
        orjson.dumps({"result": outcome.result})
