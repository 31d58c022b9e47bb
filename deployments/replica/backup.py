"""The replica of the backup: a language model that answers for all others."""

import asyncio
from pathlib import Path

from deployments.formats import ServedModel
from deployments.ray_serve.autoscaling import EXPECTED_REQUESTS, DemandReports
from deployments.replica.replica import SingleReplica
from deployments.settings import BackupSpec


class BackupReplica(SingleReplica):
    """Answers any request. One that was meant for a model of another kind is read by `InferenceRequest.text`."""

    def __init__(self, spec: BackupSpec, cache: str) -> None:
        """Start to load the model of `spec`; `cache` is the cache folder's absolute path on this node."""
        super().__init__(spec.name, lambda: _load(spec, Path(cache)), spec.load_timeout_seconds, spec.stall_seconds)
        self._expected = DemandReports()

    async def expect(self, router: str, requests: float) -> None:
        """Hear what a router is about to send here; see `ray_serve.autoscaling`."""
        self._expected.hear(router, requests, asyncio.get_running_loop().time())

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """The requests that all routers are about to send. Serve asks, for `autoscaling.scale_ahead`."""
        return {EXPECTED_REQUESTS: self._expected.total(asyncio.get_running_loop().time())}


def _load(spec: BackupSpec, cache: Path) -> ServedModel:
    from deployments.formats.huggingface import HuggingFaceModel

    return HuggingFaceModel.load(spec, cache, name=spec.name)
