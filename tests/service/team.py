"""A small service as a team runs it: with keys, prices, and a real Redis for earlier answers and kept responses."""

from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.access.keys import bearer, write_keys
from tests.redis_server import RedisServer
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


class Team:
    """The service, the Redis that it keeps things in, and the keys of whoever asks it.

    Attributes:
        service: the service; what it is asked without a key is asked by its administrator.
        redis: the Redis.
        keys: each key as its caller sends it.
    """

    def __init__(self, upstream: Upstream, folder: Path) -> None:
        """Start it, and wait until its models are ready."""
        self.redis = RedisServer(folder)
        self.keys = write_keys(folder / "keys.yaml", **KEYS)
        config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        own, model = config["applications"]
        specs = {name: f"tests/service/configs/{name}.yaml" for name in ("faulty", "steady")}
        config["applications"] = [
            own,
            *({**model, "name": name, "args": {"spec": spec}} for name, spec in specs.items()),
        ]
        own["deployments"][0]["user_config"] = {
            "default_model": "steady",
            "access": {"keys": str(folder / "keys.yaml")},
            "prices": {"steady": {"input": 10, "output": 10}},
            "remotes": {"abroad": {"base_url": upstream.url, "model": "healthy", "labels": ["us"]}},
            "models": {"faulty": {"fallbacks": ["abroad", "steady"]}},
            "cache": {"seconds": 300, "store": self.redis.url},
            "responses": {"store": self.redis.url},
            # What one test asks must not depend on what another has asked, nor on how fast it was answered.
            "breaker": {"failures": 100_000, "window_min_attempts": 100_000},
            "hedging": {"enabled": False},
            "silence": {"enabled": False},
        }
        self.service = Service(config)
        self.service.http.headers.update(bearer(self.keys["boss"]))
        try:
            self.service.wait_ready(*specs)
        except BaseException:
            self.stop()
            raise

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
        self.redis.stop()
