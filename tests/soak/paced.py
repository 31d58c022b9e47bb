"""The service with a backup whose replicas have a known capacity each, whatever the machine.

Two cores write no faster with two replicas of a language model than with one: what scaling gains on a cluster cannot be
seen here with a real one. Everything else is the service's own: build, policy, routers, the backup's replica.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ray.serve import Application

from deployments import app
from deployments.backup import BackupReplica
from deployments.formats import load_model
from deployments.model import SingleReplica
from deployments.scaling import Expected
from deployments.settings import BackupSpec, PythonSpec

SPEC = PythonSpec(
    format="python",
    id="paced",
    target="tests.soak.models:Paced",
    arguments={"seconds": 0.5, "at_a_time": 4},
)


class PacedBackup(BackupReplica):
    """Answers 8 requests a second, 4 at a time."""

    def __init__(self, spec: BackupSpec, cache: str) -> None:
        SingleReplica.__init__(self, spec.name, lambda: load_model(SPEC, Path(cache)), spec.load_timeout_seconds)
        self._expected = Expected()


def build(args: Mapping[str, Any]) -> Application:
    """What `deployments.app:build` gives, with the other backup."""
    with patch.object(app, "BackupReplica", PacedBackup):
        return app.build(args)
