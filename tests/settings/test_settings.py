"""Settings: unknown keys are refused, and every error names the file, the key, what is wrong and what is accepted."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from deployments.settings import (
    BackupSpec,
    HuggingFaceSpec,
    PolicySettings,
    PythonSpec,
    SettingsError,
    WeightLimit,
    load,
    read_backup_spec,
    read_model_spec,
)

PYTHON = "format: python\nid: echo\ntarget: examples.echo:Echo\n"
TEXT = "format: huggingface\nid: chat\nsources: [{kind: hub, repo: Qwen/Qwen2.5-0.5B}]\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Write a settings file and give its path."""

    def _write(text: str) -> str:
        path = tmp_path / "settings.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


def error_of(read: Callable[[], Any]) -> SettingsError:
    """The error of `read`; file, key, fault and what is accepted are all in its text."""
    with pytest.raises(SettingsError) as caught:
        read()
    error = caught.value
    assert error.file
    assert error.wrong
    for part in (error.file, error.key, error.wrong, error.accepted):
        assert part in str(error)
    return error


def policy_error(overrides: dict[str, Any]) -> SettingsError:
    return error_of(lambda: PolicySettings().with_overrides(overrides, {}))


# --- files ------------------------------------------------------------------------------------------


def test_a_models_spec_is_read_by_its_format(write: Callable[[str], str]) -> None:
    assert read_model_spec(write(PYTHON)) == PythonSpec(format="python", id="echo", target="examples.echo:Echo")
    assert isinstance(read_model_spec(write(TEXT)), HuggingFaceSpec)


def test_the_backups_spec_is_read(write: Callable[[str], str]) -> None:
    spec = read_backup_spec(write("sources: [{kind: path, path: weights}]\ngeneration: {max_tokens: 7}\n"))

    assert isinstance(spec, BackupSpec)
    assert (spec.name, spec.generation.max_tokens, spec.replicas.max) == ("backup", 7, 2)


def test_an_empty_policy_file_is_the_defaults(write: Callable[[str], str]) -> None:
    assert load(PolicySettings, write("# nothing yet\n")) == PolicySettings()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = error_of(lambda: read_model_spec(str(tmp_path / "nowhere.yaml")))

    assert error.file.endswith("nowhere.yaml")
    assert error.wrong == "cannot be read: No such file or directory"
    assert error.accepted


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- x", "!!python/object:os.system {}"])
def test_a_file_that_is_not_yaml_is_refused(write: Callable[[str], str], text: str) -> None:
    path = write(text)

    error = error_of(lambda: read_model_spec(path))

    assert (error.file, error.accepted) == (path, "a YAML mapping")
    assert "is not YAML" in error.wrong


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"id: \xff")

    assert "is not YAML" in error_of(lambda: read_model_spec(str(path))).wrong


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "7"])
def test_a_file_that_holds_no_mapping_is_refused(write: Callable[[str], str], text: str) -> None:
    error = error_of(lambda: load(PolicySettings, write(text)))

    assert error.wrong.startswith("holds a")
    assert error.accepted == "a mapping of settings"


# --- keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["timeout", "Timeout_seconds", "breaker.failure", "reserves.backup", "last_resort.text"]
)
def test_an_unknown_key_of_the_policy_is_named(key: str) -> None:
    section, _, name = key.rpartition(".")

    error = policy_error({section: {name: 1}} if section else {name: 1})

    assert (error.file, error.key, error.wrong[:16]) == ("user_config", key, "is not a setting")
    assert error.accepted


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (PYTHON + "replica: 1\n", "replica"),
        (PYTHON + "replicas: {mni: 1}\n", "replicas.mni"),
        (TEXT + "generation: {max_token: 1}\n", "generation.max_token"),
        ("format: huggingface\nid: a\nsources: [{kind: hub, repo: a/b, rev: c}]\n", "sources.0.rev"),
    ],
)
def test_an_unknown_key_of_a_model_is_named_as_it_is_written(write: Callable[[str], str], text: str, key: str) -> None:
    path = write(text)

    error = error_of(lambda: read_model_spec(path))

    assert (error.file, error.key, error.wrong[:16]) == (path, key, "is not a setting")


def test_what_is_accepted_is_told_in_the_users_words(write: Callable[[str], str]) -> None:
    error = error_of(lambda: read_model_spec(write(PYTHON + "replica: 1\n")))

    assert "tagged-union" not in error.accepted
    assert "function-after" not in error.accepted


@pytest.mark.parametrize("first", ["id: echo\n", "format: pythn\nid: echo\n"])
def test_a_model_without_a_known_format_is_told_the_formats(write: Callable[[str], str], first: str) -> None:
    error = error_of(lambda: read_model_spec(write(first)))

    assert error.key == "format"
    assert all(known in error.accepted for known in ("huggingface", "python"))


def test_a_missing_key_is_named(write: Callable[[str], str]) -> None:
    error = error_of(lambda: read_backup_spec(write("name: backup\n")))

    assert (error.key, error.wrong) == ("sources", "is missing")


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"timeout_seconds": "soon"}, "timeout_seconds"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"timeout_seconds": None}, "timeout_seconds"),
        ({"timeout_seconds": [30]}, "timeout_seconds"),
        ({"max_request_bytes": 10}, "max_request_bytes"),
        ({"max_request_bytes": 1.5e6 + 0.5}, "max_request_bytes"),
        ({"breaker": {"failures": 0}}, "breaker.failures"),
        ({"breaker": {"failures": "many"}}, "breaker.failures"),
        ({"breaker": None}, "breaker"),
        ({"reserves": 5}, "reserves"),
        ({"reserves": {"backup_share": 1.5}}, "reserves.backup_share"),
        ({"last_resort": {"status": 204}}, "last_resort.status"),
        ({"last_resort": {"message": 7}}, "last_resort.message"),
        ({"default_model": "Not A Name"}, "default_model"),
        ({"log_content": "perhaps"}, "log_content"),
    ],
)
def test_a_value_that_is_not_accepted_is_named_with_what_is(overrides: dict[str, Any], key: str) -> None:
    error = policy_error(overrides)

    assert (error.file, error.key) == ("user_config", key)
    assert error.accepted


@pytest.mark.parametrize("message", ["", " \n", "\u200b"])
def test_a_blank_last_resort_message_is_refused(message: str) -> None:
    error = policy_error({"last_resort": {"message": message}})

    assert "last_resort" in str(error)
    assert "message" in str(error)
    assert "must not be blank" in str(error)


def test_a_default_timeout_above_its_cap_is_refused() -> None:
    error = policy_error({"timeout_seconds": 400})

    assert "timeout_seconds: 400" in str(error)
    assert "max_timeout_seconds (300)" in str(error)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (PYTHON + "replicas: {min: 3, max: 2}\n", "max: 2"),
        (PYTHON + "num_gpus: 1.5\n", "num_gpus: 1.5"),
        (TEXT + "generation: {max_tokens: 99, max_tokens_limit: 9}\n", "max_tokens: 99"),
    ],
)
def test_values_that_contradict_each_other_are_refused(write: Callable[[str], str], text: str, key: str) -> None:
    assert key in str(error_of(lambda: read_model_spec(write(text))))


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(pydantic.ValidationError):
        PolicySettings().timeout_seconds = 5.0  # type: ignore[misc]


def test_a_settings_error_survives_pickling() -> None:
    error = policy_error({"breaker": {"failures": 0}})

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


# --- the size limit ---------------------------------------------------------------------------------


def text_spec(max_model_size_mb: int) -> BackupSpec:
    return BackupSpec.model_validate(
        {"sources": [{"kind": "path", "path": "weights"}], "max_model_size_mb": max_model_size_mb}
    )


def test_the_size_limit_of_a_spec_holds_unless_the_environment_has_one() -> None:
    assert WeightLimit.of(text_spec(500), {}).max_bytes == 500_000_000
    assert WeightLimit.of(text_spec(500), {"MAX_MODEL_SIZE_MB": "200"}).max_bytes == 200_000_000


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "1e3", "big", " 5"])
def test_a_size_limit_in_the_environment_that_is_not_accepted_names_its_variable(value: str) -> None:
    error = error_of(lambda: WeightLimit.of(text_spec(500), {"MAX_MODEL_SIZE_MB": value}))

    assert (error.file, error.key) == ("environment", "MAX_MODEL_SIZE_MB")
    assert error.accepted == "a whole number of megabytes, 1 or more"
