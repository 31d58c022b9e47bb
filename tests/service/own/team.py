"""A small service as a team runs it: with keys, prices, and a real Redis for earlier answers and kept responses.

Its models and its backup are replaced after `STALL_S` without progress.
"""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.access.keys import bearer, write_keys
from tests.formats import artefacts
from tests.redis_server import IS_THERE, WANTED, RedisServer
from tests.service.models import Deadlocking
from tests.service.service import ROOT, Service, Upstream

KEYS: dict[str, dict[str, Any]] = {
    "boss": {"admin": True},
    "steady-only": {"models": ["steady"]},
    "faulty-only": {"models": ["faulty"], "tiers": ["primary"]},
    "home": {"boundary": "local"},
    "eu": {"boundary": ["eu"]},
    "once": {"models": ["steady"], "requests_per_minute": 1},
    "payer": {"money_per_day": 1000, "tokens_per_day": 1_000_000},
}
"""The keys of the service. `faulty` falls back to `abroad`, a remote model with the label `us`, then to `steady`."""


STALL_S = 4.0
THREADS = 2
"""Calls at a time of the models `hanging` and `deadlocking`."""


class Team:
    """The service, the Redis that it keeps things in, and the keys of whoever asks it.

    Attributes:
        folder: where the service was started.
        service: the service; what it is asked without a key is asked by its administrator.
        keys: each key as its caller sends it.
    """

    def __init__(self, upstream: Upstream, folder: Path) -> None:
        """Start it, and wait until its models are ready."""
        self.folder = folder
        self._redis = RedisServer(folder) if IS_THERE else None
        self.keys = write_keys(folder / "keys.yaml", **KEYS)
        config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        own, model = config["applications"]
        specs = {name: f"tests/service/configs/{name}.yaml" for name in ("faulty", "steady")} | _that_stall(folder)
        config["applications"] = [
            own,
            *({**model, "name": name, "args": {"spec": spec}} for name, spec in specs.items()),
        ]
        own["args"] |= {"backup": _stalling(folder, "backup", "configs/backup.yaml")}
        own["deployments"][0]["user_config"] = {
            "default_model": "steady",
            "access": {"keys": str(folder / "keys.yaml")},
            "prices": {"steady": {"input": 10, "output": 10}},
            "remotes": {"abroad": {"base_url": upstream.url, "model": "healthy", "labels": ["us"]}},
            "models": {"faulty": {"fallbacks": ["abroad", "steady"]}},
            # What one test asks must not depend on what another has asked, nor on how fast it was answered.
            "breaker": {"failures": 100_000, "window_min_attempts": 100_000},
            "hedging": {"enabled": False},
            "silence": {"enabled": False},
        }
        if self._redis is not None:
            own["deployments"][0]["user_config"] |= {
                "cache": {"seconds": 300, "store": self._redis.url},
                "responses": {"store": self._redis.url},
            }
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NEVERBLANK_MODELS", f"{ROOT}{os.pathsep}{folder}")
            self.service = Service(config, folder=folder)
        self.service.http.headers.update(bearer(self.keys["boss"]))
        try:
            self.service.wait_ready(*specs)
        except BaseException:
            self.stop()
            raise

    @property
    def redis(self) -> RedisServer:
        """The Redis. Where there can be none, whatever wants it is skipped."""
        if self._redis is None:
            pytest.skip(WANTED)
        return self._redis

    def send(self, key: str, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
        """Send a request with the key of that name; without one where it is empty."""
        headers = bearer(self.keys[key]) if key else {"authorization": ""}
        return self.service.http.request(method, path, json=body, headers=headers)

    def act(self, **act: Any) -> None:
        """Do what an operator does by hand, and wait until all routers have done it."""
        response = self.send("boss", "/admin/acts", act)
        assert response.status_code == httpx.codes.OK, response.text

    def stop(self) -> None:
        """End all of it."""
        self.service.stop()
        if self._redis is not None:
            self._redis.stop()


def _that_stall(folder: Path) -> dict[str, str]:
    """Write the specs of models of which a test keeps all threads, or the engine, from going on."""
    file = artefacts.pickled(folder, Deadlocking())
    small: dict[str, Any] = {"max_ongoing_requests": THREADS, "num_cpus": 0.05}
    pickled: dict[str, Any] = {"format": "pickle", "path": str(file), "sha256": artefacts.digest(file)}
    return {
        "hanging": _stalling(folder, "hanging", format="python", target="tests.service.models:Blocking", **small),
        "deadlocking": _stalling(folder, "deadlocking", allow_unsafe_imports=True, **pickled, **small),
        "smollm2": _stalling(folder, "smollm2", "configs/models/smollm2.yaml"),
    }


def _stalling(folder: Path, name: str, base: str = "", **spec: Any) -> str:
    """Write a spec, `base` with what is changed, whose replica is replaced after `STALL_S`; the path of its file."""
    known: dict[str, Any] = yaml.safe_load((ROOT / base).read_text()) if base else {"id": name}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**known, **spec, "stall_seconds": STALL_S}))
    return str(file)
