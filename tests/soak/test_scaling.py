"""A primary that dies under steady load: the backup scaled by its own queue, and scaled ahead of it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.service.load import Client, Got, at_rate, percentile
from tests.service.service import Service

DEADLINE_S = 8.0
PER_SECOND = 12.0  # one replica of the backup answers 8
SECONDS = 60.0


def test_the_backup_is_scaled_before_the_traffic_of_a_primary_that_hangs_has_queued_up(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    told = {}
    for ahead in (False, True):
        service = start(
            "sick", backup="tests/soak/configs/scaled.yaml", build="tests.service.standin:build_paced", ahead=ahead
        )
        told["ahead" if ahead else "by its queue"] = asyncio.run(_storm(service, tmp_path / f"ill{ahead}"))
        service.stop()

    print(json.dumps(told, indent=1))  # noqa: T201 - the figures asked for
    assert told["ahead"]["p95_s"] < told["by its queue"]["p95_s"]
    assert told["ahead"]["second_replica_wanted_after_s"] < told["by its queue"]["second_replica_wanted_after_s"]


async def _storm(service: Service, ill: Path) -> dict[str, Any]:
    """Let the model hang under load; what its requests got, and when a second replica of the backup was started."""
    body = {"text": "Hello", "file": str(ill), "timeout": DEADLINE_S, "max_tokens": 16}
    wanted = asyncio.get_running_loop().create_future()
    async with Client(service.port) as client:
        await at_rate(lambda: client.ask("sick", body), PER_SECOND, 10.0)
        await asyncio.to_thread(ill.touch)
        began = time.monotonic()
        watching = asyncio.ensure_future(_watch(service, began, wanted))
        got: list[Got] = await at_rate(lambda: client.ask("sick", body), PER_SECOND, SECONDS)
        watching.cancel()
    seconds = [one.seconds for one in got]
    return {
        "second_replica_wanted_after_s": round(wanted.result(), 2) if wanted.done() else float("inf"),
        "p50_s": round(percentile(seconds, 0.5), 2),
        "p95_s": round(percentile(seconds, 0.95), 2),
        "served_by": Counter(one.served_by for one in got),
    }


async def _watch(service: Service, began: float, wanted: "asyncio.Future[float]") -> None:
    while not wanted.done():
        replicas = (await asyncio.to_thread(service.status))["backup"]["replicas"]
        if replicas["running"] + replicas["starting"] > 1:
            wanted.set_result(time.monotonic() - began)
        await asyncio.sleep(0.2)
