"""A router with keys, and models behind it that answer or fail."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from deployments.policy.outcome import Answered, Failed, Usage
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.access.keys import bearer, write_keys
from tests.http.wire import send
from tests.router.test_spaces import Scripted
from tests.serving import FakeCluster, application

SECRET_REMOTE = {"base_url": "http://127.0.0.1:9/v1", "model": "x"}


class Locked:
    """A router with the models `a`, which falls back to `b` and two remote ones, and `b`; and a key for each test."""

    def __init__(self, folder: Path, keys: Mapping[str, dict[str, Any]], **policy: Any) -> None:
        self.file = folder / "keys.yaml"
        self.keys = write_keys(self.file, **keys)
        self.cluster = FakeCluster(a=application("a"), b=application("b"))
        self.models = {"a": Scripted(Failed("it broke")), "b": Scripted(Answered("from b", Usage(10, 20)))}
        self.cluster.replicas.update(self.models)
        self.backup = Scripted(Answered("from the backup"))
        overrides = {
            "access": {"keys": str(self.file)},
            "models": {"a": {"fallbacks": ["far", "eu", "b"]}},
            "remotes": {"far": SECRET_REMOTE, "eu": {**SECRET_REMOTE, "labels": ["eu"]}},
            "default_model": "a",
            **policy,
        }
        backup: Any = self.backup
        self.router = Router(self.cluster, backup, "backup", PolicySettings().with_overrides(overrides, {}))

    async def ask(self, key: str = "k", path: str = "/v1/infer", **body: Any) -> httpx.Response:
        await self.router._registry.refresh()
        asked = {"text": "Hi", "timeout": 5, **body} if path == "/v1/infer" else body
        return await send(self.router, path, asked or None, headers=bearer(self.keys[key]) if key else {})

    async def aclose(self) -> None:
        await self.router._upstreams.aclose()


Lock = Callable[..., Locked]
"""Makes a `Locked` of keys, by their names, and settings of the policy."""
