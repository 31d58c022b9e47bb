"""The models of the rig, small enough for three hosts on two cores, and the service with one of them as its backup."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ray.serve import Application
from ray.util import get_node_ip_address

from deployments.settings import PythonSpec
from tests.service.standin import StandIn, build_with

ILL = Path("/mnt/own/ill")
"""Where this file is, every request to a model hangs, or fails if it says `raise`; health checks are answered."""


class Steady:
    """Answers after a tenth of a second, and says on which host; a stream has the `words` and the `pause` asked for."""

    def __init__(self, name: str = "steady") -> None:
        self._name = name

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        await self._fault()
        await asyncio.sleep(0.1)
        return f"{self._name} on {get_node_ip_address()} says hello"

    async def stream(self, inputs: Mapping[str, Any]) -> AsyncIterator[str]:
        await self._fault()
        for word in range(int(inputs.get("words", 10))):
            yield f"word{word} "
            await asyncio.sleep(float(inputs.get("pause", 0.1)))

    async def _fault(self) -> None:
        if self._name == "steady" and ILL.exists():  # noqa: ASYNC240 - one look
            if ILL.read_text() == "raise":  # noqa: ASYNC240 - a few bytes
                raise RuntimeError("this replica is ill")
            await asyncio.sleep(3600)


class SteadyBackup(StandIn):
    """The backup."""

    MODEL: ClassVar[PythonSpec] = PythonSpec(
        format="python", id="backup", target="tests.cluster.models:Steady", arguments={"name": "backup"}
    )


def build(args: Mapping[str, Any]) -> Application:
    """What `deployments.app:build` gives, with `SteadyBackup`."""
    return build_with(args, SteadyBackup)
