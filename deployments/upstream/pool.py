"""All remote models of one router, changed in place while requests are under way."""

import asyncio
from collections.abc import Mapping
from typing import Any

from deployments.settings.remotes import RemoteSpec
from deployments.upstream.client import Upstream


class UpstreamPool:
    """The upstreams by their names here. One whose spec has not changed keeps its connections."""

    def __init__(self, specs: Mapping[str, RemoteSpec]) -> None:
        """Be ready to call `specs`."""
        self._upstreams: dict[str, Upstream] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self.update(specs)

    def update(self, specs: Mapping[str, RemoteSpec]) -> None:
        """Take over `specs`. Requests under way to what is changed or gone come to their end."""
        before = self._upstreams
        self._upstreams = {
            name: before[name] if name in before and before[name].spec == spec else Upstream(name, spec)
            for name, spec in specs.items()
        }
        for name, upstream in before.items():
            if self._upstreams.get(name) is not upstream:
                task = asyncio.get_running_loop().create_task(upstream.retire())
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    def find(self, name: str) -> Upstream | None:
        """The upstream of that name; `None` where there is none."""
        return self._upstreams.get(name)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Facts for `/status` by name."""
        return {name: upstream.describe() for name, upstream in self._upstreams.items()}

    async def aclose(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(upstream.aclose() for upstream in self._upstreams.values()), *self._retiring)
