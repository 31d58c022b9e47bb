"""The bounds of a knob hold for values built in Python as for values read from a file, and stand in one place."""

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from deployments.policy.breaker import BreakerPolicy
from deployments.policy.concurrency_limit import LimitPolicy
from deployments.policy.continuation import StreamPolicy
from deployments.policy.deadline import ReservePolicy
from deployments.policy.hedging import HedgingPolicy
from deployments.policy.knob import Knobs
from deployments.policy.retry import RetryPolicy

SECTIONS: list[type[Knobs]] = [
    RetryPolicy,
    HedgingPolicy,
    BreakerPolicy,
    LimitPolicy,
    ReservePolicy,
    StreamPolicy,
]
KNOBS = [(section, each.name) for section in SECTIONS for each in fields(section)]
VALUES: list[Any] = [
    -1,
    -0.1,
    0,
    0.0,
    1e-9,
    0.001,
    0.5,
    0.999,
    1,
    1.0,
    2,
    10,
    11,
    100,
    100.1,
    1023,
    1024,
    86_400,
    86_401,
]


def is_built(section: type[Knobs], name: str, value: Any) -> bool:
    try:
        section(**{name: value})
    except ValueError:
        return False
    return True


def is_read(section: type[Knobs], name: str, value: Any) -> bool:
    try:
        TypeAdapter(section).validate_python({name: value})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("section", "name"), KNOBS)
def test_a_value_is_accepted_in_python_if_and_only_if_it_is_accepted_from_a_file(
    section: type[Knobs], name: str
) -> None:
    whole_numbers = next(each.type for each in fields(section) if each.name == name) is int
    for value in VALUES:
        if not (whole_numbers and isinstance(value, float)) and name != "enabled":
            assert is_built(section, name, value) == is_read(section, name, value), value


@pytest.mark.parametrize(("section", "name"), KNOBS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_neither_nan_nor_infinity_is_a_value(section: type[Knobs], name: str, value: float) -> None:
    assert not is_built(section, name, value)
    assert not is_read(section, name, value)


@pytest.mark.parametrize(("section", "name"), [knob for knob in KNOBS if knob[1] != "enabled"])
@pytest.mark.parametrize("value", [True, "1", None, [1]])
def test_only_a_number_is_taken_for_a_number(section: type[Knobs], name: str, value: Any) -> None:
    assert not is_built(section, name, value)


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(ValueError, match=r"enabled: is 1; accepted: true or false"):
        HedgingPolicy(enabled=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_refused(section: type[Knobs]) -> None:
    assert not is_read(section, "colour", 1)


@pytest.mark.parametrize(("section", "name"), KNOBS)
def test_every_knob_says_what_it_does(section: type[Knobs], name: str) -> None:
    assert next(each.metadata["description"] for each in fields(section) if each.name == name)


def test_all_faults_of_a_section_are_told_each_in_its_line_by_its_key() -> None:
    with pytest.raises(ValueError, match="failures") as caught:
        BreakerPolicy(failures=0, failure_rate=2.0)

    assert str(caught.value).splitlines() == [
        "failures: is 0; accepted: a whole number, at least 1",
        "failure_rate: is 2.0; accepted: a number, above 0, at most 1",
    ]


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        (RetryPolicy, {"base_seconds": 2.0}, "cap_seconds"),
        (BreakerPolicy, {"open_seconds": 20.0}, "open_max_seconds"),
        (LimitPolicy, {"min_limit": 600}, "max_limit"),
        (ReservePolicy, {"backup_min_seconds": 11.0}, "backup_max_seconds"),
        (ReservePolicy, {"backup_share": 0.8, "last_resort_share": 0.2}, "backup_share"),
    ],
)
def test_values_that_contradict_each_other_are_refused(section: type[Knobs], values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key}: .*; accepted: "):
        section(**values)


def test_a_section_cannot_be_changed_after_it_was_built() -> None:
    with pytest.raises(FrozenInstanceError):
        RetryPolicy().max = 3  # type: ignore[misc]
