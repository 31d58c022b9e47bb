"""A replica whose work does not advance is replaced, on a real Serve instance; until then the others answer."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import yaml

from tests.formats import artefacts
from tests.processes import has_gone
from tests.service.models import Deadlocking
from tests.service.service import ROOT, Service, eventually

STALL_S = 4.0
THREADS = 2
DEADLINE_S = 16.0
REPLACED_S = 150.0
"""Serve ends a replica after three failed health checks, two seconds apart; the new one has to load."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own whose models and backup are replaced after `STALL_S` without progress."""
    folder = tmp_path_factory.mktemp("liveness")
    file = artefacts.pickled(folder, Deadlocking())
    small = {"stall_seconds": STALL_S, "max_ongoing_requests": THREADS, "num_cpus": 0.05}
    specs: dict[str, dict[str, Any]] = {
        "hanging": {"format": "python", "target": "tests.service.models:Blocking", **small},
        "deadlocking": {"format": "pickle", "path": str(file), "sha256": artefacts.digest(file), **small},
        "smollm2": yaml.safe_load((ROOT / "configs/models/smollm2.yaml").read_text()) | {"stall_seconds": STALL_S},
    }
    specs["deadlocking"] |= {"allow_unsafe_imports": True}
    backup = yaml.safe_load((ROOT / "configs/backup.yaml").read_text()) | {"stall_seconds": STALL_S}
    (folder / "backup.yaml").write_text(yaml.safe_dump(backup))
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    main, model = config["applications"]
    main["args"] |= {"backup": str(folder / "backup.yaml")}
    main["deployments"][0]["user_config"] = {
        "breaker": {"failures": 100_000, "window_min_attempts": 100_000},  # the model is to be asked until it answers
        "hedging": {"enabled": False},
        "silence": {"enabled": False},
    }
    config["applications"] = [main]
    for name, spec in specs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"id": name, **spec}))
        config["applications"].append({**model, "name": name, "args": {"spec": str(folder / f"{name}.yaml")}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEVERBLANK_MODELS", f"{ROOT}{os.pathsep}{folder}")
        running = Service(config)
    try:
        running.wait_ready(*specs)
        yield running
    finally:
        running.stop()


def answered_by(service: Service, model: str, body: dict[str, Any]) -> str:
    """Who answers `body` for `model`, within its deadline; the last resort never has to."""
    answer, seconds = service.ask({"max_tokens": 4, "timeout": DEADLINE_S, **body}, model)
    assert seconds <= DEADLINE_S + 0.5
    assert answer["served_by"] in {"primary", "backup"}, answer
    return str(answer["served_by"])


@pytest.mark.parametrize(
    ("model", "stuck", "well"),
    [
        ("hanging", {"text": "Hello", "seconds": 3600}, {"text": "Hello"}),
        ("deadlocking", {"input": [["deadlock"]]}, {"input": [["hello"]]}),
    ],
)
def test_a_replica_whose_threads_are_all_stuck_is_replaced_and_the_backup_answers_until_then(
    service: Service, model: str, stuck: dict[str, Any], well: dict[str, Any]
) -> None:
    assert answered_by(service, model, well) == "primary"
    replica = service.replica(f"{model}:Model")

    with ThreadPoolExecutor(THREADS) as callers:
        answered = list(callers.map(lambda _: answered_by(service, model, stuck), range(THREADS)))
    assert answered == ["backup"] * THREADS

    eventually(lambda: answered_by(service, model, well) == "primary", REPLACED_S)
    eventually(lambda: has_gone(replica), REPLACED_S)
    assert f'"event": "model_stalled", "model": "{model}"' in service.log


def test_a_replica_whose_engine_process_is_stopped_is_replaced_with_it_and_the_backup_answers_until_then(
    service: Service,
) -> None:
    assert answered_by(service, "smollm2", {"text": "Hello"}) == "primary"
    replica = service.replica("smollm2:Model")
    engine = psutil.Process(service.status()["models"]["smollm2"]["process"])
    assert engine.ppid() == replica.pid

    engine.suspend()
    assert answered_by(service, "smollm2", {"text": "Hello"}) == "backup"

    eventually(lambda: answered_by(service, "smollm2", {"text": "Hello"}) == "primary", REPLACED_S)
    eventually(lambda: has_gone(replica) and has_gone(engine), REPLACED_S)
    assert eventually(lambda: service.status()["models"]["smollm2"]["process"] != engine.pid)


def test_a_backup_whose_engine_process_is_stopped_is_replaced_while_models_answer(service: Service) -> None:
    service.wait_ready()
    engine = psutil.Process(service.status()["backup"]["process"])

    engine.suspend()
    service.ask({"text": "Hello", "timeout": DEADLINE_S}, "nobody-knows-it")

    assert answered_by(service, "hanging", {"text": "Hello"}) == "primary"
    eventually(lambda: has_gone(engine), REPLACED_S)

    def backup_answers() -> bool:
        answer, _ = service.ask({"text": "Hello", "max_tokens": 4, "timeout": DEADLINE_S}, "nobody-knows-it")
        return bool(answer["served_by"] == "backup")

    eventually(backup_answers, REPLACED_S)
