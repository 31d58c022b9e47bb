"""Every fault of a file is told at once: unknown keys first, with the nearest known one, the others as they stand."""

import pickle
import traceback
from typing import Any

import pytest

from deployments.settings import ModelSpec, PolicySettings, SettingsError, parse

PYTHON = {"format": "python", "id": "echo", "target": "examples.echo:Echo"}
REMOTE = {"base_url": "https://api.example.com/v1", "model": "x"}


def mistaken(data: Any, model: Any = PolicySettings) -> SettingsError:
    """The error `data` is refused with; `model` may be a union, which `parse` takes and no `type[...]` can say."""
    with pytest.raises(SettingsError) as caught:
        parse(model, data, "a.yaml")
    return caught.value


def faults(data: dict[str, Any], model: Any = PolicySettings) -> list[tuple[str, str]]:
    """Key and fault of all that is wrong with `data`."""
    return [(fault.key, fault.wrong) for fault in mistaken(data, model).faults]


def keys(data: dict[str, Any], model: Any = PolicySettings) -> list[str]:
    return [key for key, _ in faults(data, model)]


@pytest.mark.parametrize(
    ("data", "key", "meant"),
    [
        ({"breaker": {"open_secods": 20}}, "breaker.open_secods", "open_seconds"),
        ({"timeout": 20}, "timeout", "timeout_seconds"),
        ({"models": {"m": {"fallback": []}}}, "models.m.fallback", "fallbacks"),
        ({"remotes": {"hosted": {**REMOTE, "max_conections": 1}}}, "remotes.hosted.max_conections", "max_connections"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(data: dict[str, Any], key: str, meant: str) -> None:
    assert faults(data) == [(key, f"is not a setting: did you mean {meant}?")]


def test_an_unknown_key_within_a_list_is_told_with_the_nearest_known_one() -> None:
    source = {"kind": "hub", "repo": "a/b", "revison": "c"}

    assert faults({"format": "huggingface", "id": "a", "sources": [source]}, ModelSpec) == [
        ("sources.0.revison", "is not a setting: did you mean revision?")
    ]


def test_an_unknown_key_that_is_near_to_none_is_told_as_such() -> None:
    assert faults({"colour": "red"}) == [("colour", "is not a setting")]


def test_a_misspelt_key_is_not_told_as_a_missing_one_too() -> None:
    misspelt = {"format": "python", "id": "echo", "targt": "examples.echo:Echo"}

    assert faults(misspelt, ModelSpec) == [("targt", "is not a setting: did you mean target?")]


def test_a_misspelt_format_is_not_told_as_a_missing_one_too() -> None:
    misspelt = {"formt": "python", "id": "echo", "target": "examples.echo:Echo"}

    assert faults(misspelt, ModelSpec) == [("formt", "is not a setting: did you mean format?")]


def test_a_key_that_is_missing_is_told_beside_one_that_was_not_meant_for_it() -> None:
    assert keys({"format": "python", "id": "echo", "colour": "red"}, ModelSpec) == ["colour", "target"]


def test_unknown_keys_come_first_and_the_others_as_they_stand_in_the_file() -> None:
    data = {
        "streams": {"stall_seconds": 0},
        "timeout_seconds": "soon",
        "breaker": {"probes": 0, "failures": 0, "open_secods": 1},
        "colour": "red",
    }

    assert keys(data) == [
        "breaker.open_secods",
        "colour",
        "streams.stall_seconds",
        "timeout_seconds",
        "breaker.probes",
        "breaker.failures",
    ]


def test_values_that_contradict_each_other_are_told_beside_values_that_are_wrong_by_themselves() -> None:
    data = {
        "retries": {"base_seconds": 2, "max": 99},
        "timeout_seconds": 400,
        "remotes": {"hosted": {**REMOTE, "headers": {"host": "x"}, "max_connections": 0}},
        "backup_model": "nobody",
    }

    assert keys(data) == [
        "retries.max",
        "retries.cap_seconds",
        "timeout_seconds",
        "remotes.hosted.headers",
        "remotes.hosted.max_connections",
        "backup_model",
    ]


def test_a_contradiction_with_a_value_that_is_wrong_anyway_is_not_told() -> None:
    assert keys({"retries": {"base_seconds": -1, "cap_seconds": 0.01}}) == ["retries.base_seconds"]
    assert keys({"remotes": {"hosted": {**REMOTE, "prefill": "maybe"}}, "backup_model": "hosted"}) == [
        "remotes.hosted.prefill"
    ]


def test_a_contradiction_with_a_value_whose_key_is_misspelt_is_not_told() -> None:
    assert keys({"retries": {"base_seconds": 2, "cap_secnds": 3}}) == ["retries.cap_secnds"]


def test_the_text_has_one_line_for_each_fault_with_file_key_and_what_is_accepted() -> None:
    first, second = str(mistaken({**PYTHON, "colour": 1, "num_cpus": -1}, ModelSpec)).splitlines()
    assert first == "a.yaml: colour: is not a setting (accepted: the keys in docs/configuration.md)"
    assert second == "a.yaml: num_cpus: is -1 (accepted: greater than or equal to 0)"


def test_all_faults_survive_pickling() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(PolicySettings, {"colour": 1, "timeout_seconds": 0}, "a.yaml")

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes

    assert copy.faults == caught.value.faults
    assert len(copy.faults) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"headers": {"x-key": "hunter2\n"}},
        {"headers": "hunter2"},
        {"headers": {"authorization": "hunter2"}},
        {"headers": {"x-key": ["hunter2"]}},
        {"header_env": {"x-key": "hunter2!"}},
        {"api_key_env": "hunter2!"},
        {"api_key": "hunter2"},
        {"base_url": "https://hunter2:hunter2@api.example.com"},
    ],
)
def test_what_may_be_a_credential_is_not_quoted(fault: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(PolicySettings, {"remotes": {"hosted": {**REMOTE, **fault}}}, "a.yaml")

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
