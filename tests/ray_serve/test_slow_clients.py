"""Clients that trickle turn nobody else away: HAProxy waits for them, with the time-outs of serve_config.yaml.

The time for a head or a body is a second here, in the place of thirty.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.ray_serve import test_haproxy
from tests.ray_serve.test_haproxy import ANSWERS, Upstream, in_front_of, post

HEAD = b"POST /v1/infer HTTP/1.1\r\nhost: x\r\n"
SLOW = (HEAD, HEAD + b"content-length: 1000\r\n\r\n{")
"""A head, and a body, of which the rest comes a byte at a time."""


async def trickle(url: str, beginning: bytes) -> bytes:
    """Send a byte now and then behind `beginning`; return what comes back before the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(beginning)

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.2)

    dripping = asyncio.ensure_future(drip())
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        dripping.cancel()
        writer.close()


async def beside(slow: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[bytes], list[float], int]:
    """What `slow` clients get, the seconds that twenty others waited meanwhile, and the requests a router has seen."""
    settings = test_haproxy.settings_of("serve_config.yaml")
    settings["RETRY_ON"] = settings["RETRY_ON"].replace("timeout http-request 30s", "timeout http-request 1s")
    assert "timeout http-request 1s" in settings["RETRY_ON"]
    monkeypatch.setattr(test_haproxy, "settings_of", lambda _: settings)
    router = Upstream(ANSWERS)
    async with in_front_of("serve_config.yaml", folder, router) as url:
        clients = [asyncio.ensure_future(trickle(url, SLOW[place % 2])) for place in range(slow)]
        await asyncio.sleep(0.3)
        waited = []
        for _ in range(20):
            started = time.monotonic()
            assert (await post(url)).text == "ok"
            waited.append(time.monotonic() - started)
        return await asyncio.gather(*clients), waited, router.calls


async def test_whoever_trickles_is_cut_off_and_nobody_beside_it_waits_or_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got, waited, seen = await beside(40, tmp_path, monkeypatch)

    assert {answer.split(b"\r\n")[0] for answer in got} <= {b"HTTP/1.1 408 Request Time-out", b""}
    assert sum(b"408" in answer for answer in got) > len(got) // 2
    assert sorted(waited)[len(waited) // 2] < 0.5
    assert seen == len(waited), "no router has seen a request that did not arrive"


@pytest.mark.soak
async def test_a_thousand_that_trickle_turn_nobody_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got, waited, seen = await beside(1000, tmp_path, monkeypatch)

    assert len(got) == 1000
    assert sorted(waited)[len(waited) // 2] < 1
    assert seen == len(waited)
