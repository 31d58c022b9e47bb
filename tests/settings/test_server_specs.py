"""The spec of a server: one way to run it, and every contradiction is refused by its key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.settings import ServerSpec, SettingsError, read_model_spec

VLLM = {"format": "server", "id": "m", "engine": "vllm", "model": "org/m", "python": "/opt/vllm/bin/python"}
OWN = {"format": "server", "id": "m", "engine": "command", "command": ["serve", "--port={port}"]}


def read(folder: Path, spec: dict[str, Any]) -> Any:
    file = folder / "m.yaml"
    file.write_text(yaml.safe_dump(spec))
    return read_model_spec(str(file))


@pytest.mark.parametrize("spec", [VLLM, OWN, VLLM | {"engine": "llama.cpp", "program": "/opt/llama-server"}])
def test_a_server_is_read_by_its_engine(tmp_path: Path, spec: dict[str, Any]) -> None:
    read_spec = read(tmp_path, spec)

    assert isinstance(read_spec, ServerSpec)
    assert read_spec.model_name == "m"
    assert not read_spec.untrusted


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (OWN | {"command": ["serve"]}, "command"),
        (OWN | {"command": ["{python}", "{port}"]}, "python"),
        (OWN | {"command": ["serve", "{model}", "{port}"]}, "model"),
        (VLLM | {"command": ["serve", "{port}"]}, "command"),
        (VLLM | {"python": None}, "python"),
        (VLLM | {"model": None}, "model"),
        (VLLM | {"program": "vllm"}, "program"),
        (VLLM | {"multiplexed": True}, "multiplexed"),
        (VLLM | {"space": "s"}, "space"),
        (VLLM | {"health": "health"}, "health"),
        (VLLM | {"env": {"NOT A NAME": "x"}}, "env"),
        (VLLM | {"num_gpus": 1.5}, "num_gpus"),
        (VLLM | {"engine": "tgi"}, "engine"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_key(tmp_path: Path, spec: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, {name: value for name, value in spec.items() if value is not None})

    assert key in raised.value.key


def test_a_value_of_its_environment_is_not_quoted_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, VLLM | {"env": {"HF_TOKEN": ["hf_not_for_logs"]}})

    assert "hf_not_for_logs" not in str(raised.value)
