"""Neighbours come, change, break and go while two models are asked two thousand times."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.service.load import Client, Got, percentile
from tests.service.rollout import Rollout
from tests.service.service import Service

DEADLINE_S = 4.0
REQUESTS = 2000
PER_SECOND = 30.0


@dataclass(slots=True)
class Asked:
    """What was asked of one model.

    Attributes:
        model: which.
        got: in the order in which it was asked.
    """

    model: str
    got: list[Got] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[Got]:
        """What was asked in that time."""
        return [got for got in self.got if start <= got.started < end]


def test_two_thousand_requests_while_neighbours_come_change_break_and_go(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path)
    rollout.config["applications"][0]["args"]["routers"] = 2
    rollout.write("steady", arguments={"version": 1})
    rollout.write("changing", arguments={"version": 1})
    service = Service(rollout.config)
    try:
        service.wait_ready("steady", "changing")
        steady, changing, deployed = asyncio.run(_scenario(service, rollout))
    finally:
        service.stop()

    everything = steady.got + changing.got
    quiet = [got.seconds for got in steady.between(0, deployed[0])]
    busy = [got.seconds for got in steady.between(deployed[0], float("inf"))]
    returned = deployed[1]
    after = [str(got.body["result"]).partition(":")[0] for got in changing.between(returned, float("inf"))]
    print(  # noqa: T201 - the figures asked for
        json.dumps(
            {
                "requests": len(everything),
                "without_an_answer": sum(not got.answered for got in everything),
                "slowest_s": max(got.seconds for got in everything),
                "steady_served_by": Counter(got.served_by for got in steady.got),
                "changing_served_by": Counter(got.served_by for got in changing.got),
                "changing_after_deploy": Counter(after),
                "steady_p50_ms_quiet_and_busy": [percentile(quiet, 0.5) * 1000, percentile(busy, 0.5) * 1000],
                "steady_p99_ms_quiet_and_busy": [percentile(quiet, 0.99) * 1000, percentile(busy, 0.99) * 1000],
            }
        )
    )
    assert len(everything) >= REQUESTS
    assert all(got.answered for got in everything)
    assert max(got.seconds for got in everything) <= DEADLINE_S + 0.1
    assert {got.served_by for got in steady.got} == {"primary"}
    assert set(after) == {"version 2"}


async def _scenario(service: Service, rollout: Rollout) -> tuple[Asked, Asked, tuple[float, float]]:
    """Ask both models all the time. Gives when the first change began, and when the new version was deployed."""
    steady, changing = Asked("steady"), Asked("changing")
    over = asyncio.Event()
    async with Client(service.port) as client:
        asking = [asyncio.ensure_future(_ask(client, asked, over)) for asked in (steady, changing)]
        await asyncio.sleep(10)
        began = time.monotonic()
        await _deployed(service, rollout, lambda: rollout.write("added", arguments={"version": 1}), 0)
        await _deployed(service, rollout, lambda: rollout.write("changing", arguments={"version": 2}), 0)
        returned = time.monotonic()
        await _deployed(service, rollout, lambda: rollout.write("added", arguments={"version": 2, "fail": True}), 1)
        await _deployed(service, rollout, lambda: rollout.drop("added"), 0)
        missing = REQUESTS - len(steady.got) - len(changing.got)
        await asyncio.sleep(max(0.0, missing / PER_SECOND + 2.0))
        over.set()
        await asyncio.gather(*asking)
    return steady, changing, (began, returned)


async def _deployed(service: Service, rollout: Rollout, change: Callable[[], object], code: int) -> None:
    change()
    got, _, errors = await asyncio.to_thread(rollout.deploy, service)
    assert got == code, errors


async def _ask(client: Client, asked: Asked, over: asyncio.Event) -> None:
    """Ask at a steady rate, whether the earlier ones are answered or not."""
    body = {"text": "Hello", "timeout": DEADLINE_S, "max_tokens": 4}
    running = set()
    while not over.is_set():
        await asyncio.sleep(2 / PER_SECOND)
        task = asyncio.ensure_future(client.ask(asked.model, body))
        running.add(task)
        task.add_done_callback(lambda done: asked.got.append(done.result()))
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
