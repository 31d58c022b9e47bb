"""All remote models of one router. They can be replaced while requests are under way."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from deployments.observability.chores import Chores, close_all
from deployments.policy.resilience import ResiliencePolicy
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.client import Upstream
from deployments.upstream.passage import process_id

DEFAULT_POLICY = ResiliencePolicy()


class UpstreamPool:
    """The upstreams by name. An upstream whose spec has not changed keeps its connections in an update.

    Attributes:
        has_spaces: whether any of them gives vectors.
    """

    def __init__(self, specs: Mapping[str, RemoteSpec], service_id: Callable[[], str] = process_id) -> None:
        """Get ready to call the models of `specs`; `service_id` returns the id that travels along with requests."""
        self._service_id = service_id
        self._upstreams: dict[str, Upstream] = {}
        self.has_spaces = False
        self._retiring = Chores("upstreams")
        self.update(specs)

    def update(self, specs: Mapping[str, RemoteSpec], policy: ResiliencePolicy = DEFAULT_POLICY) -> None:
        """Replace the upstreams by those of `specs`; nothing changes where this raises. Requests under way go on.

        Args:
            specs: the upstreams by name.
            policy: what the breakers of their endpoints follow.

        Raises:
            RuntimeError: an upstream has to be retired, but no event loop is running.
        """
        before = self._upstreams
        after = {
            name: before[name]
            if name in before and before[name].spec == spec
            else Upstream(name, spec, self._service_id)
            for name, spec in specs.items()
        }
        retired = [upstream for name, upstream in before.items() if after.get(name) is not upstream]
        if retired:
            asyncio.get_running_loop()  # or this raises, before anything is changed
        self._upstreams = after
        self.has_spaces = any(upstream.space for upstream in after.values())
        for upstream in after.values():
            upstream.follow(policy)
        for upstream in retired:
            self._retiring.start(upstream.retire())

    def find(self, name: str) -> Upstream | None:
        """Return the upstream of that name; `None` where there is none."""
        return self._upstreams.get(name)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the state of each upstream by name, for `/status`."""
        return {name: upstream.describe() for name, upstream in self._upstreams.items()}

    async def aclose(self) -> None:
        """Close all connections."""
        closings = (upstream.aclose for upstream in self._upstreams.values())
        await close_all("upstreams", *closings, self._retiring.finish)
