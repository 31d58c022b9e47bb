"""One real service for all tests of this folder: the project's own config, and models that fail on demand."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import skops.io
import yaml

from tests.formats import artefacts, bert, causal
from tests.formats.artefacts import reveal
from tests.otlp import Receiver, receiving
from tests.servers import standin
from tests.service.opening import Opening
from tests.service.service import ROOT, Service, Upstream
from tests.sources import tiny
from tests.upstream.dialects import DIALECTS
from tests.upstream.faulty import SCENARIOS, SPOKEN

SPECS = "tests/service/configs"
FAULTY = ("faulty", "narrator", "blocking", "slow", "broken", "invalid")
SECRET_VARIABLE, SECRET = "CONFTEST_API_KEY", "hunter2"
POOL = "files"
_SAMPLES = (
    *(name for name in DIALECTS if name.endswith("-openai")),
    *sorted(SPOKEN)[::24],
)
PLAYED = [name for name in SCENARIOS if name.islower() and (name in _SAMPLES or name not in DIALECTS | SPOKEN)]
"""The scenarios that the service has remote models for: some of each kind of error, and of dialect."""
AGAIN = "-again"
"""Behind the name of a remote model: the same upstream once more, as the fallback of the first."""


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The fault-injecting upstream, as a process."""
    running = Upstream()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Models that are files, made here, and their specs: the folder is one of the service's model roots."""
    folder = tmp_path_factory.mktemp("models")
    evil = artefacts.Evil(folder / "mark")
    specs: dict[str, dict[str, Any]] = {
        name: _pickled(folder, name, value) for name, value in (("evil", evil), ("reveal", reveal))
    }
    specs["reveal"] |= {"method": "call", "allow_unsafe_imports": True}
    # The upstream once more, as a server that the model's own replica runs.
    specs["server"] = {"format": "server", "engine": "command", "device": "cpu", "python": sys.executable}
    specs["server"] |= {"command": list(standin.COMMAND), "served_name": "tells-the-request"}
    specs["unhealthy"] = specs["server"] | {"arguments": ["--health", "503", "--says", "not yet"]}
    slowly = f"sleep 3; exec {' '.join(standin.COMMAND)}"
    specs["twins"] = specs["server"] | {"command": ["sh", "-c", slowly], "replicas": {"min": 2, "max": 2}}
    for name, spec in specs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"id": name, "num_cpus": 0.05, **spec}))
    members = _members(folder)
    for name, spec in members.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"id": name, "multiplexed": True, "device": "cpu", **spec}))
    pool = {"models": [str(folder / f"{name}.yaml") for name in members], "models_per_replica": 12, "num_cpus": 0.05}
    (folder / f"{POOL}.yaml").write_text(yaml.safe_dump(pool))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEVERBLANK_MODELS", f"{ROOT}{os.pathsep}{folder}")
        patch.setenv(SECRET_VARIABLE, SECRET)
        yield {name: folder / f"{name}.yaml" for name in (*specs, *members, POOL)}


def _pickled(folder: Path, name: str, value: Any) -> dict[str, Any]:
    file = artefacts.pickled(folder, value, f"{name}.pkl")
    return {"format": "pickle", "path": str(file), "sha256": artefacts.digest(file)}


def _members(folder: Path) -> dict[str, dict[str, Any]]:
    """Specs of models that share a process: a file of every form, and two that cannot be loaded."""
    weights = {name: folder / f"{name}-weights" for name in ("qwen2", "gguf", "bert", "vectors", "ranking")}
    weights["gguf"].mkdir()
    causal.qwen2(weights["qwen2"])
    tiny.gguf(weights["gguf"] / "tiny.gguf")
    bert.folder(weights["bert"], "text-classification")
    bert.folder(weights["vectors"], "feature-extraction")
    bert.folder(weights["ranking"], "text-ranking")
    from_weights = {
        name: {"format": "huggingface", "threads": 1, "sources": [{"kind": "path", "path": str(at)}]}
        for name, at in weights.items()
    }
    written = {"engine": "transformers", "dtype": "float32"}
    skops.io.dump(artefacts.classifier(), folder / "classifier.skops")
    program, script = artefacts.exported(folder), artefacts.torchscript(folder)
    torch: dict[str, Any] = {"format": "pytorch", "inputs": [{"shape": [None, 3]}]}
    unpinned = _pickled(folder, "unpinned", artefacts.classifier())
    del unpinned["sha256"]
    return {
        "sklearn": _pickled(folder, "sklearn", artefacts.classifier()),
        "unpinned": unpinned,
        "skops": {"format": "pickle", "path": str(folder / "classifier.skops")},
        "torch": {**torch, "kind": "exported", "path": str(program), "sha256": artefacts.digest(program)},
        "torchscript": {**torch, "kind": "torchscript", "path": str(script), "sha256": artefacts.digest(script)},
        "state-dict": {
            **torch,
            "kind": "state_dict",
            "target": "tests.formats.artefacts:Linear",
            "path": str(artefacts.state_dict(folder)),
        },
        "bert": {**from_weights["bert"], "task": "text-classification"},
        "vectors": {**from_weights["vectors"], "task": "feature-extraction", "dtype": "float32"},
        "ranking": {**from_weights["ranking"], "task": "text-ranking", "dtype": "float32"},
        "qwen2": {**from_weights["qwen2"], **written},
        "gguf": {**from_weights["gguf"], **written, "snapshot": False},
        "missing": {"format": "python", "target": "no_such_module:Model"},
    }


@pytest.fixture(scope="session")
def opening() -> Opening:
    """The requests that were sent to `service` from the moment at which it answered HTTP."""
    return Opening("")


@pytest.fixture(scope="session")
def spans() -> Iterator[Receiver]:
    """Receives the spans of requests whose callers have them traced."""
    with receiving() as running:
        yield running


@pytest.fixture(scope="session")
def service(upstream: Upstream, files: dict[str, Path], opening: Opening, spans: Receiver) -> Iterator[Service]:
    """The service of `serve_config.yaml`, with the models of tests/service/models.py beside smollm2.

    Each scenario of the upstream is a remote model; `<scenario>-again` is a second one, for chains in which both fail.
    """
    config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    model = config["applications"][1]
    for name in FAULTY:
        config["applications"].append(model | {"name": name, "args": {"spec": f"{SPECS}/{name}.yaml"}})
    for name, spec in files.items():
        if name == POOL:
            build = {"import_path": "deployments.app:build_pool"}
            config["applications"].append(model | build | {"name": name, "args": {"pool": str(spec)}})
        elif "multiplexed" not in spec.read_text():
            config["applications"].append(model | {"name": name, "args": {"spec": str(spec)}})
    remotes = {
        name: {"base_url": upstream.url, "model": scenario, "max_answer_bytes": 1 << 20, "fallbacks": fallbacks}
        for scenario in PLAYED
        for name, fallbacks in ((scenario, []), (scenario + AGAIN, [scenario]))
    }
    config["applications"][0]["deployments"][0]["user_config"] = {
        "breaker": {"failures": 100_000, "window_min_attempts": 100_000},  # one test's failures are not another's
        "streams": {"stall_seconds": 1.5},
        # What one test asks must not depend on how fast another was answered.
        "hedging": {"enabled": False},
        "silence": {"enabled": False},
        "reserves": {"backup_min_seconds": 10},
        "remotes": remotes,
        "traces": {"endpoint": spans.url, "share": 0},
    }
    running = Service(config)
    opening.base_url = str(running.http.base_url)
    opening.begin()
    try:
        running.wait_ready("smollm2", "faulty", "blocking")
        yield running
    finally:
        opening.end(within_s=0.0)
        running.stop()


@pytest.fixture
def cluster(service: Service) -> Iterator[None]:
    """This process, connected to the service's cluster as a Ray job is."""
    ray.init(address=service.address, namespace="serve", log_to_driver=False, configure_logging=False)
    try:
        yield
    finally:
        ray.shutdown()


_STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the result of the run for its last moment."""
    session.config.stash[_STATUS] = int(session.exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without taking the interpreter down, once everything is torn down and told.

    Threads of Ray and gRPC outlive `ray.shutdown()`. One has run into what the end of the interpreter frees, and turned
    a run without a failure into a segmentation fault: see docs/ray.md.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(_STATUS, int(pytest.ExitCode.INTERNAL_ERROR)))
