"""The service with a backup that is no language model: one whose speed and capacity are known on any machine.

Two cores write no faster with two replicas of a language model than with one, and a first token takes a hundred times
as long as what the router adds: what scaling gains on a cluster, and what a failover costs, cannot be seen with a real
one. Everything else is the service's own: build, policy, routers, the backup's replica.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from ray.serve import Application

from deployments import app
from deployments.formats import load_model
from deployments.ray_serve.autoscaling import DemandReports
from deployments.replica.backup import BackupReplica
from deployments.replica.replica import SingleReplica
from deployments.settings import BackupSpec, PythonSpec


class StandIn(BackupReplica):
    """A backup's replica with a `python` model."""

    MODEL: ClassVar[PythonSpec]

    def __init__(self, spec: BackupSpec, cache: str) -> None:
        SingleReplica.__init__(
            self,
            spec.name,
            lambda: load_model(self.MODEL, Path(cache)),
            spec.load_timeout_seconds,
            spec.stall_seconds,
        )
        self._expected = DemandReports()


class PacedBackup(StandIn):
    """Answers 8 requests a second, 4 at a time."""

    MODEL = PythonSpec(
        format="python", id="paced", target="tests.soak.models:Paced", arguments={"seconds": 0.5, "at_a_time": 4}
    )


class InstantBackup(StandIn):
    """Answers at once."""

    MODEL = PythonSpec(format="python", id="instant", target="examples.echo:Echo")


def build_paced(args: Mapping[str, Any]) -> Application:
    """What `deployments.app:build` gives, with `PacedBackup`."""
    return build_with(args, PacedBackup)


def build_instant(args: Mapping[str, Any]) -> Application:
    """The same with `InstantBackup`."""
    return build_with(args, InstantBackup)


def build_with(args: Mapping[str, Any], backup: type[BackupReplica]) -> Application:
    """What `deployments.app:build` gives, with this class as the backup's replica."""
    with patch.object(app, "BackupReplica", backup):
        return app.build(args)
