"""What HAProxy does with a request whose routers fail their checks, hang or are gone: it is answered all the same.

The file is made by Serve's own template and changed by `neverblank-haproxy`; the HAProxy is the one that Ray brings.
"""

import asyncio
import gzip
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from deployments.ray_serve.front import CERTIFICATE_VARIABLE, adapt
from deployments.ray_serve.ways_out import LATE_MS, with_silence_limited
from deployments.request.controls import HEADERS, TIMEOUT_HEADER
from tests.ray_serve.test_front import ROOT, answers_at, served_file
from tests.ray_serve.test_haproxy import HAPROXY


class Routerlike:
    """Answers requests with its name, unless it `hangs`, and health checks with `healthy`.

    With a `pause_s` it has read the whole request first, and is silent for so long in the middle of its answer.
    """

    def __init__(self, name: str, *, healthy: bool = True, hangs: bool = False, pause_s: float = 0.0) -> None:
        self.name, self.healthy, self.hangs, self.pause_s = name, healthy, hangs, pause_s
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        is_check = head.startswith(b"GET /-/healthz")
        if self.hangs and not is_check:
            await reader.read()  # until HAProxy gives it up
        status = "503 Some" if is_check and not self.healthy else "200 OK"
        body = self.name.encode()
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body[:1]
        )
        if self.pause_s and not is_check:
            await read_body(head, reader)
            await asyncio.sleep(self.pause_s)
        writer.write(body[1:])
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield


async def read_body(head: bytes, reader: asyncio.StreamReader) -> None:
    announced = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if announced:
        await reader.readexactly(int(announced[0]))
    else:
        await reader.readuntil(b"\r\n0\r\n\r\n")


async def haproxy(
    stack: AsyncExitStack, file: Path, *more: str, program: Sequence[str] = (str(HAPROXY),)
) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(*program, "-db", "-f", str(file), *more, cwd=ROOT)

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    return process


async def until(client: httpx.AsyncClient, url: str, status: int) -> None:
    """Wait until HAProxy's own health check has a status."""
    async with asyncio.timeout(10):
        while True:
            try:
                if (await client.get(f"{url}/-/healthz", headers={"connection": "close"})).status_code == status:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)


@asynccontextmanager
async def behind_haproxy(router: Routerlike, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Have an HAProxy with the buffers of serve_config.yaml in front of `router`, whose checks it has seen."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(router.listening())
        text, ports = served_file(folder, router.port)
        (folder / "haproxy.cfg").write_text(adapt(text.replace("tune.bufsize 16384", "tune.bufsize 262144"), {}))
        await haproxy(stack, folder / "haproxy.cfg")
        url = f"http://127.0.0.1:{ports['http']}"
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=10.0, base_url=url))
        await until(client, url, 200 if router.healthy else 503)
        yield client


async def test_where_every_router_fails_its_checks_they_are_asked_all_the_same(tmp_path: Path) -> None:
    leaving = Routerlike("leaving", healthy=False)
    async with behind_haproxy(leaving, tmp_path) as client:
        answered = await client.get("/healthz")

    assert (answered.status_code, answered.text) == (200, "leaving")


@pytest.mark.parametrize("healthy", [True, False], ids=["up", "down by its checks"])
async def test_a_request_that_names_a_deadline_is_answered_behind_it_though_its_router_hangs(
    tmp_path: Path, *, healthy: bool
) -> None:
    stuck = Routerlike("stuck", healthy=healthy, hangs=True)
    async with behind_haproxy(stuck, tmp_path) as client:
        answered = await asyncio.gather(
            client.post("/v1/infer", json={"text": "Hello", "timeout": 1}),
            client.post("/v1/infer", json={"timeout": 0.25, "text": "Hello"}, headers={TIMEOUT_HEADER: "9"}),
            client.post("/v1/infer", json={"text": "Hello"}, headers={TIMEOUT_HEADER: "0.5"}),
            client.post("/v1/infer", json={"text": "Hello"}, headers={HEADERS["timeout"]: "1.2345"}),
        )
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/infer", json={"text": "Hello", "timeout": 0.2, "stream": True}, timeout=1.0)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                "/of/another/application",
                json={"timeout": 0.2},
                headers={TIMEOUT_HEADER: "0.2", HEADERS["timeout"]: "0.2"},
                timeout=1.0,
            )

    assert [(each.status_code, each.json()["served_by"]) for each in answered] == [(504, "last_resort")] * 4
    late_s = [
        each.elapsed.total_seconds() - asked for each, asked in zip(answered, (1.0, 0.25, 0.5, 1.2345), strict=True)
    ]
    assert min(late_s) >= 0.9 * LATE_MS / 1000, late_s
    assert max(late_s) <= 2.4, late_s


LONG = "x" * 300_000
DEEP = '{"a":' * 25 + "1" + "}" * 25


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"messages": [], "stream": true}', {}),
        (b'{"messages": [], "stream"\n:\ttrue}', {}),
        (f'{{"messages": "{LONG}", "stream": true}}'.encode(), {}),
        (f'{{"timeout": 0.3, "messages": "{LONG}", "stream": true}}'.encode(), {}),
        (f'{{"tools": {DEEP}, "stream": true}}'.encode(), {}),
        (b'\xef\xbb\xbf{"messages": [], "stream": true}', {}),
        (b'{"stream": false, "stream": true}', {}),
        (b'{"str\\u0065am": true}', {}),
        (gzip.compress(b'{"messages": [], "stream": true}'), {"content-encoding": "gzip"}),
        (f'{{"messages": "{LONG}", "stream": true}}'.encode(), {"transfer-encoding": "chunked"}),
    ],
    ids=["plain", "spaced", "long", "long-named", "deep", "marked", "twice", "escaped", "compressed", "chunked"],
)
async def test_a_stream_is_not_cut_though_it_is_silent_for_longer_than_its_deadline(
    tmp_path: Path, body: bytes, headers: dict[str, str]
) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        yield body

    pausing = Routerlike("whole", pause_s=1.2)
    async with behind_haproxy(pausing, tmp_path) as client:
        named = {HEADERS["timeout"]: "0.3", "content-type": "application/json", **headers}
        content = in_pieces() if "transfer-encoding" in headers else body
        answered = await client.post("/v1/chat/completions", content=content, headers=named)

    assert answered.text == "whole"


async def test_a_whole_answer_to_a_long_body_has_its_bound_too(tmp_path: Path) -> None:
    stuck = Routerlike("stuck", hangs=True)
    async with behind_haproxy(stuck, tmp_path) as client:
        answered = await client.post("/v1/infer", json={"text": LONG[:200_000], "stream": False, "timeout": 0.3})

    assert (answered.status_code, answered.json()["error"]["code"]) == (504, "router_silent")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_kept_connection_of_an_haproxy_that_was_replaced_is_answered_by_the_new_one(
    tmp_path: Path, scheme: str
) -> None:
    environment, verify = {}, scheme == "http"
    if not verify:
        chain = tmp_path / "chain.pem"
        trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
        environment = {CERTIFICATE_VARIABLE: str(chain)}
    old, new = Routerlike("old"), Routerlike("new")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(new.listening())
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=5.0, verify=verify))
        other = await stack.enter_async_context(httpx.AsyncClient(timeout=5.0, verify=verify))
        async with old.listening():
            text, ports = served_file(first, old.port)
            url = f"{scheme}://127.0.0.1:{ports['http']}"
            (first / "haproxy.cfg").write_text(adapt(keeping(text), environment))
            replaced = await haproxy(stack, first / "haproxy.cfg")
            await until(other, url, 200)
            before = await client.get(f"{url}/")
            text, _ = served_file(second, new.port, ports=ports)
            (second / "haproxy.cfg").write_text(adapt(keeping(text), environment))
            await haproxy(stack, second / "haproxy.cfg", "-sf", str(replaced.pid))
            async with asyncio.timeout(10):
                while (await other.get(f"{url}/", headers={"connection": "close"})).text != "new":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        after = await client.get(f"{url}/")
        await asyncio.wait_for(replaced.wait(), 10)

    assert (before.text, after.text) == ("old", "new")
    assert after.headers["connection"] == "close"


async def test_while_serve_tells_of_no_router_those_of_before_are_asked_but_not_those_before_a_start(
    tmp_path: Path,
) -> None:
    old = Routerlike("old")
    program = (sys.executable, "-m", "deployments.ray_serve.front")
    file = tmp_path / "haproxy.cfg"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(old.listening())
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=5.0, headers={"connection": "close"}))
        _, ports = served_file(tmp_path, old.port)
        url = f"http://127.0.0.1:{ports['http']}"
        first = await haproxy(stack, file, program=program)
        await until(client, url, 200)
        served_file(tmp_path, known="fallback", ports=ports)
        second = await haproxy(stack, file, "-sf", str(first.pid), program=program)
        await first.wait()
        building = await client.get(f"{url}/")
        second.terminate()
        await second.wait()
        served_file(tmp_path, known="fallback", ports=ports)
        await haproxy(stack, file, program=program)
        async with asyncio.timeout(10):
            while not await answers_at("127.0.0.1", ports["stats"]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        anew = await answers_at("127.0.0.1", ports["http"])

    assert (building.status_code, building.text) == (200, "old")
    assert not anew


def keeping(text: str) -> str:
    """Serve's file with the option that it has where HAProxy is told the state of its servers."""
    return text.replace("    option abortonclose\n", "    option abortonclose\n    option idle-close-on-response\n")


async def test_a_replaced_haproxy_without_a_successor_says_so(tmp_path: Path) -> None:
    old = Routerlike("old")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=10.0))
        await stack.enter_async_context(old.listening())
        text, ports = served_file(tmp_path, old.port)
        url = f"http://127.0.0.1:{ports['http']}"
        (tmp_path / "haproxy.cfg").write_text(adapt(keeping(text), {}))
        process = await haproxy(stack, tmp_path / "haproxy.cfg")
        await until(client, url, 200)
        await client.get(f"{url}/")
        process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(10):
            while await answers_at("127.0.0.1", ports["http"]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        answered = await client.get(f"{url}/")

    assert answered.status_code == 503
    assert answered.json()["served_by"] == "last_resort"


def test_what_the_servers_have_by_default_against_silence_stands_at_each_of_them_as_haproxy_gives_it_to_none() -> None:
    told = "    default-server tcp-ut 2500ms\nbackend b\n    use-server a if TRUE\n    server a 1.2.3.4:5 check\n"
    also = f"{told}    server b 1.2.3.4:6 tcp-ut 9s\n"

    written = with_silence_limited(also)

    assert "    server a 1.2.3.4:5 check tcp-ut 2500ms\n    server b 1.2.3.4:6 tcp-ut 9s\n" in written
    assert "    use-server a if TRUE\n" in written
    assert with_silence_limited(written) == written
    assert with_silence_limited("    server a 1.2.3.4:5 check\n") == "    server a 1.2.3.4:5 check\n"
