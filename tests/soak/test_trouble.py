"""A primary that hangs and heals, and ten times more requests than there is room for."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.service.load import Client, Got, at_rate, percentile
from tests.service.service import Service

DEADLINE_S = 4.0


def test_two_hundred_requests_to_a_hung_primary_then_it_heals(start: Callable[..., Service], tmp_path: Path) -> None:
    service = start("sick", remotes=("healthy",), backup_model="healthy")
    ill = tmp_path / "ill"
    ill.touch()
    body = {"text": "Hello", "file": str(ill), "timeout": DEADLINE_S}

    async def scenario() -> tuple[list[Got], list[float], list[float], list[tuple[float, Got]]]:
        async with Client(service.port) as client:
            hung = await at_rate(lambda: client.ask("sick", body), 20, 10)
            # Its breaker is open in both routers. Direct and detoured, in turn.
            direct, detoured = [], []
            for _ in range(150):
                direct.append((await client.ask("healthy", body)).seconds)
                detoured.append((await client.ask("sick", body)).seconds)
            ill.unlink()
            healed_at = time.monotonic()
            later = []
            while time.monotonic() - healed_at < 24:
                got = await client.ask("sick", body)
                later.append((time.monotonic() - healed_at, got))
                await asyncio.sleep(max(0.0, 4.0 - got.seconds))
            return hung, direct, detoured, later

    hung, direct, detoured, later = asyncio.run(scenario())
    back = min((seconds for seconds, got in later if got.served_by == "primary"), default=float("inf"))
    print(  # noqa: T201 - the figures asked for
        json.dumps(
            {
                "hung": len(hung),
                "slowest_s": max(got.seconds for got in hung),
                "served_by": Counter(g.served_by for g in hung),
                "direct_p50_ms": median(direct) * 1000,
                "detoured_p50_ms": median(detoured) * 1000,
                "back_after_s": back,
            }
        )
    )
    assert all(got.answered for got in hung)
    assert max(got.seconds for got in hung) <= DEADLINE_S + 0.1
    assert median(detoured) - median(direct) < 0.005
    assert back <= 15


def test_ten_times_the_capacity_for_a_minute(start: Callable[..., Service]) -> None:
    service = start("busy", "healthy", backup="tests/soak/configs/backup.yaml")
    body = {"text": "Hello", "timeout": DEADLINE_S, "max_tokens": 8}
    routers = [p for p in service.family() if "ServeReplica:neverblank:Router" in " ".join(p.cmdline())]
    memory: list[int] = []

    async def watch() -> None:
        while True:
            memory.append(sum(p.memory_info().rss for p in routers))
            await asyncio.sleep(1.0)

    async def scenario() -> tuple[list[Got], list[Got], list[Got]]:
        async with Client(service.port) as client:
            unloaded = await at_rate(lambda: client.ask("healthy", body), 10, 20)
            watching = asyncio.ensure_future(watch())
            overload, loaded = await asyncio.gather(
                at_rate(lambda: client.ask("busy", body), 80, 60), at_rate(lambda: client.ask("healthy", body), 10, 60)
            )
            watching.cancel()
            return unloaded, overload, loaded

    unloaded, overload, loaded = asyncio.run(scenario())
    before, under = (percentile([got.seconds for got in gots], 0.99) for gots in (unloaded, loaded))
    third = len(memory) // 3
    grown = sum(memory[-third:]) / sum(memory[:third])
    slowest = max(got.seconds for got in overload + loaded)
    accepted = [got.seconds for got in overload if got.served_by == "primary"]
    print(  # noqa: T201 - the figures asked for
        json.dumps(
            {
                "requests": len(overload),
                "served_by": Counter(got.served_by for got in overload),
                "slowest_s": slowest,
                "healthy p99 unloaded_s": before,
                "healthy p99 under overload_s": under,
                "memory ratio": grown,
                "accepted by the busy model": {"p50": percentile(accepted, 0.5), "p99": percentile(accepted, 0.99)},
            }
        )
    )
    assert all(got.answered for got in overload + loaded)
    assert slowest <= DEADLINE_S + 0.1
    assert under <= 2 * before
    assert grown < 1.1
