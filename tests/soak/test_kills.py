"""Processes killed under load, again and again."""

import asyncio
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import psutil

from tests.service.load import Client, Got
from tests.service.models import WORDS
from tests.service.service import Service, eventually

KILLS = 100


def test_every_stream_ends_complete_while_its_replica_is_killed_a_hundred_times(start: Callable[..., Service]) -> None:
    service = start("narrator")
    ends: Counter[str] = Counter()
    draw = random.Random(7)  # noqa: S311 - where to kill
    for n in range(KILLS):
        service.wait_ready("narrator")
        # It says in which process it runs, so that the very replica that is streaming is killed.
        after = draw.randrange(1, 59)
        body = {"text": "Count the words, please.", "fault": "die", "after": after, "max_tokens": 12}
        streamed = service.stream(body | {"pause": draw.uniform(0.0, 0.03)}, "narrator")
        said = "".join(WORDS[:after])
        answer = streamed.answer

        assert answer["served_by"] == "backup", (n, answer)
        assert answer["finish_reason"] in {"stop", "length"}
        own = "".join(text["text"] for text in streamed.texts if text["served_by"] == "primary")
        # What was on its way when the process died may be lost; nothing of it is repeated or torn.
        assert said.startswith(own), n
        assert streamed.text.startswith(own)
        ends[answer["finish_reason"]] += 1
    print(json.dumps({"kills": KILLS, "ends": ends}))  # noqa: T201 - the figures asked for


def test_requests_while_router_replicas_are_killed_ten_times(start: Callable[..., Service]) -> None:
    service = start("healthy")
    plain, retrying = asyncio.run(_under_router_kills(service, kills=10))

    unanswered = [got for got in plain if not got.answered]
    still = [got for got in retrying if not got.answered]
    print(  # noqa: T201 - the figures asked for
        json.dumps(
            {
                "requests": len(plain),
                "unanswered": len(unanswered),
                "errors": sorted({g.error or str(g.status) for g in unanswered}),
                "with a client that retries": {"requests": len(retrying), "unanswered": len(still)},
            }
        )
    )
    assert len(still) == 0
    assert len(unanswered) <= 10


async def _under_router_kills(service: Service, kills: int) -> tuple[list[Got], list[Got]]:
    stop = threading.Event()
    killer = threading.Thread(target=_kill_routers, args=(service, kills, stop))
    killer.start()
    async with Client(service.port, connections=8) as client:

        async def worker(into: list[Got], *, retries: int) -> None:
            while not stop.is_set():
                for _ in range(1 + retries):
                    got = await client.ask("healthy", {"text": "Hello", "timeout": 5})
                    if got.answered:
                        break
                into.append(got)

        plain: list[Got] = []
        retrying: list[Got] = []
        await asyncio.gather(
            *(worker(plain, retries=0) for _ in range(4)), *(worker(retrying, retries=2) for _ in range(4))
        )
    killer.join()
    return plain, retrying


def _kill_routers(service: Service, kills: int, stop: threading.Event) -> None:
    def routers() -> list[psutil.Process]:
        return [p for p in service.family() if _is_router(p)]

    try:
        for _ in range(kills):
            eventually(lambda: len(routers()) == 2, 60)
            time.sleep(3.0)  # both are in HAProxy's list again, and under load
            random.choice(routers()).send_signal(signal.SIGKILL)  # noqa: S311 - whom to kill
    finally:
        time.sleep(3.0)
        stop.set()


def _is_router(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith("ray::ServeReplica:neverblank:Router")
    except psutil.NoSuchProcess:
        return False
