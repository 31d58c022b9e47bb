"""What reaches every node by itself: code and specs in a `working_dir`, snapshots through a store that the nodes share.

Of this machine's folders every host sees what is not its own: a volume that all of them have mounted.
"""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.cluster import START_S, Cluster
from tests.cluster.hosts import OWN
from tests.service.service import eventually
from tests.sources import tiny
from tests.sources.fakes import FakeHub, serving

pytestmark = pytest.mark.soak

EVERY_HOST = {"min": 2, "max": 2, "per_node": 1}
GREETER = {"format": "python", "id": "greeter", "target": "greeter:Greeter"}
TINY = {"format": "huggingface", "id": "tiny", "sources": [{"kind": "hub", "repo": "some/tiny"}], "device": "cpu"}
CODE = """
class Greeter:
    def infer(self, inputs):
        return "Hello from a file that only the working folder has."
"""


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with a project, as a zip file; no node has it as a folder."""
    project = tmp_path / "project"
    (project / "specs").mkdir(parents=True)
    for spec in (GREETER, TINY):
        content = yaml.safe_dump({**spec, "num_cpus": 0.05, "replicas": EVERY_HOST})
        (project / f"specs/{spec['id']}.yaml").write_text(content)
    (project / "greeter.py").write_text(CODE)
    (project / "serve_config.yaml").write_text("{}")  # paths of specs start where it is
    shutil.make_archive(str(tmp_path / "project"), "zip", project)
    shutil.rmtree(project)
    return tmp_path


def application(name: str, volume: Path, **variables: str) -> dict[str, Any]:
    """A model of the project on the volume."""
    unset = {"NEVERBLANK_ROOT": "", "NEVERBLANK_SNAPSHOT_STORE": str(volume / "store")}
    return {
        "name": name,
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "runtime_env": {"working_dir": f"file://{volume}/project.zip", "env_vars": {**unset, **variables}},
        "args": {"spec": f"specs/{name}.yaml"},
    }


def deploy(cluster: Cluster, *applications: dict[str, Any]) -> None:
    """Have Serve's own command deploy `applications` beside those of the cluster."""
    file = cluster.folder / "sharing.yaml"
    file.write_text(
        yaml.safe_dump({**cluster.config, "applications": [*cluster.config["applications"], *applications]})
    )
    done = cluster.outside("serve", "deploy", str(file), "--address", cluster.dashboard)
    assert done.returncode == 0, done.stderr


def test_code_and_specs_in_a_working_dir_reach_every_node(cluster: Cluster, volume: Path) -> None:
    deploy(cluster, application("greeter", volume))
    try:
        hosts = [host.address for host in cluster.workers]
        eventually(lambda: cluster.where("greeter", "Model") == hosts, START_S)
        body = {"text": "Hello", "fallback": False}
        eventually(lambda: _answered(hosts[0], body), 30)
        answers = [httpx.post(f"http://{host}:8000/v1/infer/greeter", json=body).json() for host in hosts]
    finally:
        cluster.deploy()

    assert [answer["result"] for answer in answers] == ["Hello from a file that only the working folder has."] * 2


def _answered(host: str, body: dict[str, Any]) -> bool:
    return bool(httpx.post(f"http://{host}:8000/v1/infer/greeter", json=body).status_code == 200)


def test_a_node_gets_the_snapshot_that_another_one_has_built_when_there_is_no_hub_any_more(
    cluster: Cluster, volume: Path
) -> None:
    with serving(FakeHub(tiny.folder(volume / "repository")), f"{cluster.head.net}.254") as hub:
        model = application("tiny", volume, HF_ENDPOINT=hub.address)
        try:
            deploy(cluster, {**model, "deployments": [{"name": "Model", "num_replicas": 1}]})
            eventually(lambda: len(cluster.where("tiny", "Model")) == 1, START_S)
            asked, hub.status = len(hub.requests), 503
            (first,) = cluster.where("tiny", "Model")
            # Listed again: a replica of a deployment that is listed no more gets no `runtime_env` (docs/ray.md).
            deploy(cluster, {**model, "deployments": [{"name": "Model", "num_replicas": 2}]})
            eventually(lambda: len(cluster.where("tiny", "Model")) == 2, START_S)
        finally:
            cluster.deploy()

    kept = {host.address: _snapshots(host.file(f"{OWN}/cache/snapshots")) for host in cluster.workers}
    print(f"the hub was asked {asked} times by {first}, and after that {hub.requests[asked:]}")  # noqa: T201 - told to who runs it
    assert asked
    assert not [path for path in hub.requests[asked:] if "/resolve/" in path]
    one, other = kept.values()
    assert one == other
    assert any(name.endswith(".pkl") for name in one)


def _snapshots(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in {".pkl", ".json"}}
