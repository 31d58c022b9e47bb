"""The service without metrics, which nobody runs: what they cost is measured against it."""

import asyncio
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from deployments import app
from deployments.observability import metrics
from deployments.router import router
from deployments.settings import PolicySettings
from tests.service.standin import build_instant

_COUNTED = ("answered", "first_token", "turned_away", "abandoned")


class UncountedRouter(app.RouterDeployment):
    """A router that counts nothing, and exports nothing."""

    def __init__(self, backup: DeploymentHandle, backup_name: str, policy: PolicySettings) -> None:
        """Take what counts out of this process, and route."""
        for name in _COUNTED:
            patch.object(metrics, name, _nothing).start()
        patch.object(router, "flush_forever", _never).start()
        super().__init__(backup, backup_name, policy)


def build(args: Mapping[str, Any]) -> Application:
    """What `tests.service.standin:build_instant` gives, with `UncountedRouter`."""
    with patch.object(app, "RouterDeployment", UncountedRouter):
        return build_instant(args)


def _nothing(*_: object) -> None:
    return


async def _never(_: object) -> None:
    await asyncio.Event().wait()
