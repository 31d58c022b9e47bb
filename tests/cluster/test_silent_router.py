"""What HAProxy does when a router's host goes silent, with the lines of `configs/cluster.yaml`: it needs no Ray."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from deployments.ray_serve.ways_out import with_silence_limited
from tests.cluster.hosts import Host, hosts, lacking
from tests.ports import free_port
from tests.ray_serve.test_haproxy import HAPROXY, settings_of

ROUTER = """
import asyncio
async def serve(reader, writer):
    while head := await reader.readuntil(b"\\r\\n\\r\\n"):
        length = (head.lower() + b"content-length: 0\\r").split(b"content-length: ")[1].split(b"\\r")[0]
        body = await reader.readexactly(int(length))
        if body == b"stream":
            writer.write(b"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n")
            for _ in range(40):
                writer.write(b"4\\r\\nword\\r\\n")
                await asyncio.sleep(0.25)
            writer.write(b"0\\r\\n\\r\\n")
        else:
            await asyncio.sleep(1.0)
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
async def main():
    await (await asyncio.start_server(serve, "0.0.0.0", 30000)).serve_forever()
asyncio.run(main())
"""
LEFT_S = 4.5
"""A silent host is left after 2.5 seconds and the work of a second is done again; a busy machine takes a while."""


@pytest.fixture
def routers() -> Iterator[Sequence[Host]]:
    if reason := lacking():
        pytest.skip(reason)
    environment = {"PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin"}
    with hosts(2, bridge="nbr1", net="10.98.0") as made:
        running = [subprocess.Popen(one.command("python", "-c", ROUTER, env=environment)) for one in made]  # noqa: S603
        yield made
        for process in running:
            process.kill()


@pytest.fixture
def url(routers: Sequence[Host], tmp_path: Path) -> Iterator[str]:
    wanted, port, file = settings_of("configs/cluster.yaml"), free_port(), tmp_path / "haproxy.cfg"
    servers = "\n".join(f"    server r{one.number} {one.address}:30000 check" for one in routers)
    text = f"""\
defaults
    mode http
    timeout connect {wanted["TIMEOUT_CONNECT_S"]}s
    timeout client 60s
    option redispatch 1
    retry-on {wanted["RETRY_ON"]}
    retries {wanted["RETRIES"]}
    balance roundrobin
frontend front
    bind 127.0.0.1:{port}
    default_backend routers
backend routers
    http-reuse always
    default-server fall {wanted["HEALTH_CHECK_FALL"]} inter {wanted["HEALTH_CHECK_INTER"]} check
{servers}
"""
    file.write_text(with_silence_limited(text))
    process = subprocess.Popen([HAPROXY, "-db", "-f", file], stderr=subprocess.DEVNULL)  # noqa: S603
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


async def post(url: str, what: str) -> tuple[int, str, float]:
    """The status, what was read, and the seconds that took; a connection that breaks off raises."""
    started = time.monotonic()
    async with aiohttp.ClientSession() as session, session.post(url, data=what) as response:
        return response.status, await response.text(), time.monotonic() - started


async def under_way(
    url: str, what: str, count: int, then: Callable[[], None]
) -> list[tuple[int, str, float] | BaseException]:
    """Send `count` at a time, call `then` half a second later, and wait for all."""
    async with asyncio.timeout(40):
        asked = [asyncio.ensure_future(post(url, what)) for _ in range(count)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(then)
        return list(await asyncio.gather(*asked, return_exceptions=True))


async def wait_for(url: str) -> None:
    async with asyncio.timeout(20):
        for _ in range(4):
            while True:
                try:
                    assert (await post(url, "whole"))[0] == 200
                    break
                except (aiohttp.ClientError, AssertionError):
                    await asyncio.sleep(0.1)


# Its seconds are those of HAProxy's probes: on a machine that is busy with other tests they say nothing.
@pytest.mark.soak
async def test_what_a_silent_router_had_not_answered_is_asked_of_another_one_and_its_streams_end_as_broken(
    url: str, routers: Sequence[Host]
) -> None:
    await wait_for(url)
    answered = await under_way(url, "whole", 4, routers[0].unplug)
    routers[0].plug()
    await wait_for(url)
    streamed = await under_way(url, "stream", 4, routers[0].unplug)

    assert [one[:2] for one in answered if isinstance(one, tuple)] == [(200, "ok")] * 4
    slow = sorted(one[2] for one in answered if isinstance(one, tuple))
    assert slow[0] < 2.5 < slow[-1] < 0.5 + LEFT_S, slow
    broken = [one for one in streamed if isinstance(one, aiohttp.ClientPayloadError)]
    whole = [one for one in streamed if isinstance(one, tuple)]
    assert (len(broken), len(whole)) == (2, 2), streamed
    assert all(text == "word" * 40 for _, text, _ in whole)


@pytest.mark.soak
async def test_a_request_that_is_sent_to_a_router_which_has_just_gone_silent_is_asked_of_another_one(
    url: str, routers: Sequence[Host]
) -> None:
    await wait_for(url)  # and leave HAProxy a connection to each of them
    routers[0].unplug()
    answered = await under_way(url, "whole", 4, lambda: None)

    assert [one[:2] for one in answered if isinstance(one, tuple)] == [(200, "ok")] * 4, answered
    assert max(one[2] for one in answered if isinstance(one, tuple)) < 0.5 + LEFT_S
