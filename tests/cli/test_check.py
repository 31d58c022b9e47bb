"""`neverblank check`: every fault of a configuration is named, and nothing is started for it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from tests.formats import causal

SPEC = "format: python\nid: m\ntarget: examples.echo:Echo\n"


def check(*files: Path | str) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, files)])


def config(folder: Path, name: str = "m", spec: str = SPEC) -> Path:
    (folder / "m.yaml").write_text(spec)
    application = {
        "name": name,
        "import_path": "deployments.app:build_model",
        "args": {"spec": str(folder / "m.yaml")},
    }
    file = folder / "serve.yaml"
    file.write_text(json.dumps({"applications": [application]}))
    return file


@pytest.mark.parametrize("name", ["serve_config", "configs/portable", "configs/gpu", "configs/cluster"])
def test_the_projects_own_configurations_are_valid(name: str) -> None:
    checked = check(f"{name}.yaml")

    assert checked.exit_code == 0, checked.output
    assert all(word in checked.output for word in ("backup", "smollm2", "huggingface"))


def test_without_a_file_the_services_own_config_is_meant() -> None:
    assert check().output == check("serve_config.yaml").output


def test_what_would_be_loaded_is_told_for_programs(tmp_path: Path) -> None:
    (planned,) = json.loads(check(config(tmp_path), "--json").stdout)

    assert (planned["name"], planned["format"], planned["source"]) == ("m", "python", "examples.echo:Echo")


def test_each_file_without_a_fault_is_named_and_no_other_one(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("applications:\n  - name: [")

    checked = check("configs/policy.yaml", broken)

    assert checked.exit_code == 1
    assert "configs/policy.yaml: no fault" in checked.stderr
    assert f"{broken}: no fault" not in checked.stderr


def test_a_file_that_is_not_yaml_is_named_with_the_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("applications:\n  - name: a\n]\n")

    assert f"{broken}: is not YAML: " in check(broken).stderr
    assert "(line 3)" in check(broken).stderr


BACKUP = "sources: [{kind: hub, repo: some/model}]\n"


@pytest.mark.parametrize(
    ("where", "replicas", "warned"),
    [
        ("EveryNode", "", True),
        ("EveryNode", "replicas: {min: 2, max: 2, per_node: 1}\n", False),
        ("HeadOnly", "", False),
    ],
)
def test_a_cluster_whose_backup_may_go_with_one_node_is_warned_of(
    tmp_path: Path, where: str, replicas: str, *, warned: bool
) -> None:
    file = config(tmp_path)
    (tmp_path / "backup.yaml").write_text(BACKUP + replicas)
    written = json.loads(file.read_text()) | {"proxy_location": where}
    args = {"backup": str(tmp_path / "backup.yaml")}
    written["applications"].append({"name": "neverblank", "import_path": "deployments.app:build", "args": args})
    file.write_text(json.dumps(written))

    checked = check(file)

    assert checked.exit_code == 0
    assert ("the loss of one node may take m and backup (backup) at once" in checked.output) is warned


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (SPEC + "colour: red\n", "colour"),
        ("format: python\nid: m\n", "target"),
        ("format: python\nid: Not A Name\ntarget: a:B\n", "id"),
        ("format: papyrus\nid: m\n", "format"),
        ("{", "YAML"),
    ],
)
def test_a_fault_is_named_by_its_key_and_is_an_error(tmp_path: Path, spec: str, key: str) -> None:
    checked = check(config(tmp_path, spec=spec))

    assert checked.exit_code == 1
    assert key in checked.output


def test_an_application_of_another_name_than_its_model_is_named(tmp_path: Path) -> None:
    checked = check(config(tmp_path, name="other"))

    assert checked.exit_code == 1
    assert "'m'" in checked.output


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (SPEC + "multiplexed: true\nreplicas: {min: 2, max: 2}\n", "replicas: is the pool's"),
        (SPEC + "replicas: {min: 2, max: 1}\n", "max: 1 is below min"),
        ("format: pickle\nid: m\npath: examples/echo.py\n", "pin it: sha256:"),
        (f"format: pickle\nid: m\npath: examples/echo.py\nsha256: {'a' * 64}\n", "not the digest that was pinned"),
        ("format: pickle\nid: m\npath: /etc/passwd\n", "leaves the model roots"),
    ],
)
def test_what_would_be_refused_when_it_is_loaded_is_a_fault_already(tmp_path: Path, spec: str, key: str) -> None:
    checked = check(config(tmp_path, spec=spec))

    assert checked.exit_code == 1
    assert key in checked.output


def test_weights_over_the_limit_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = causal.qwen2(tmp_path / "weights")
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    spec = f"format: huggingface\nid: m\nsources: [{{kind: path, path: {weights}}}]\n"
    (planned,) = json.loads(check(config(tmp_path, spec=spec), "--json").stdout)
    monkeypatch.setenv("MAX_MODEL_SIZE_MB", "1")
    (weights / "model.safetensors").write_bytes(b" " * 1_000_001)

    assert planned["memory"] > planned["size"] > 0
    assert "over the limit of 1,000,000" in check(config(tmp_path, spec=spec)).output


def test_a_file_is_weighed_and_one_that_is_elsewhere_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    (tmp_path / "here.skops").write_bytes(b"1234567")
    for name, size in (("here", 7), ("gone", None)):
        spec = f"format: pickle\nid: m\npath: {tmp_path}/{name}.skops\n"
        (planned,) = json.loads(check(config(tmp_path, spec=spec), "--json").stdout)
        assert planned["size"] == size


def test_the_models_of_a_pool_are_told_with_it(tmp_path: Path) -> None:
    (tmp_path / "member.yaml").write_text(SPEC + "multiplexed: true\n")
    (tmp_path / "pool.yaml").write_text(f"models: [{tmp_path}/member.yaml]\n")
    application = {"name": "p", "import_path": "deployments.app:build_pool", "args": {"pool": f"{tmp_path}/pool.yaml"}}
    (tmp_path / "serve.yaml").write_text(json.dumps({"applications": [application]}))

    (planned,) = json.loads(check(tmp_path / "serve.yaml", "--json").stdout)
    assert (planned["name"], planned["replicas"]) == ("m", "pool p")


def test_a_model_of_a_pool_that_is_not_multiplexed_and_two_of_one_name_are_faults(tmp_path: Path) -> None:
    (tmp_path / "single.yaml").write_text(SPEC)
    (tmp_path / "member.yaml").write_text(SPEC + "multiplexed: true\n")
    (tmp_path / "single-pool.yaml").write_text(f"models: [{tmp_path}/single.yaml]\nmodels_per_replica: 1\n")
    (tmp_path / "twice-pool.yaml").write_text(f"models: [{tmp_path}/member.yaml, {tmp_path}/member.yaml]\n")

    assert "single.yaml: multiplexed: is false" in check(tmp_path / "single-pool.yaml").output
    assert "id: is 'm', like another one's" in check(tmp_path / "twice-pool.yaml").output


def test_every_fault_is_told_and_not_only_the_first(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(SPEC + f"wrong_{name}: 1\n")

    checked = check(tmp_path / "a.yaml", tmp_path / "b.yaml")

    assert "wrong_a" in checked.output
    assert "wrong_b" in checked.output


def test_every_fault_of_a_service_is_told_those_of_its_backup_and_of_its_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("breaker: {open_secods: 20, failures: 0}\nretries: {base_seconds: 2}\n")
    (tmp_path / "backup.yaml").write_text("sources: []\n")
    arguments = {"policy": f"{tmp_path}/policy.yaml", "backup": f"{tmp_path}/backup.yaml"}
    application = {"name": "neverblank", "import_path": "deployments.app:build", "args": arguments}
    (tmp_path / "serve.yaml").write_text(json.dumps({"applications": [application]}))

    told = check(tmp_path / "serve.yaml").output

    for fault in ("sources: is an empty list", "did you mean open_seconds?", "failures: is 0", "retries.cap_seconds"):
        assert fault in told


@pytest.mark.parametrize(("text", "said"), [("", "is empty"), ("- a", "holds a list"), ("a", "holds a str")])
def test_a_file_that_is_no_mapping_is_a_fault(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "nothing.yaml"
    file.write_text(text)

    checked = check(file)

    assert checked.exit_code == 1
    assert said in checked.output


def test_a_file_that_is_not_there_is_named() -> None:
    checked = check("no/such/file.yaml")

    assert checked.exit_code == 1
    assert "no/such/file.yaml" in checked.output
