"""HAProxy as `neverblank-haproxy` starts it: its statistics are this machine's, and it speaks TLS if asked to.

The file is made by Serve's own template, and the HAProxy is the one that Ray brings.
"""

import asyncio
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from deployments.ray_serve.front import (
    BINARY_VARIABLE,
    CERTIFICATE_VARIABLE,
    HOST_VARIABLE,
    NOBODY,
    SILENT,
    UnknownFileError,
    adapt,
)
from deployments.ray_serve.names import ARRIVED_HEADER
from tests.ports import free_port
from tests.ray_serve.test_haproxy import ANSWERS, CONFIGS, settings_of

ROOT = Path(__file__).resolve().parents[2]
MACHINE = "127.0.0.2"
"""Stands for an address that other machines can reach: what listens on 127.0.0.1 alone is not there."""


def served_file(
    folder: Path, upstream: int = 1, known: str = "router", ports: dict[str, int] | None = None
) -> tuple[str, dict[str, int]]:
    """Serve's file for HAProxy, with one router, on a `draining` node too, `nothing` or a `fallback`; its ports."""
    ports = ports or {name: free_port() for name in ("http", "stats", "metrics")}
    wanted = settings_of("serve_config.yaml")
    options = HTTPOptions(host="0.0.0.0", port=ports["http"])  # noqa: S104 - the front end is for all to reach
    config = HAProxyConfig(
        http_options=options,
        stats_port=ports["stats"],
        metrics_port=ports["metrics"],
        socket_path=str(folder / "s.sock"),
        metrics_enabled=False,
        enable_hap_optimization=False,
        has_received_routes=True,
        has_received_servers=True,
        pass_health_checks=known != "draining",
        balance_algorithm=wanted["BALANCE_ALGORITHM"],
        retry_on=wanted["RETRY_ON"],
        retries=int(wanted["RETRIES"]),
    )
    server = ServerConfig(name="r", host="127.0.0.1", port=upstream)
    backend = BackendConfig(
        name="b",
        path_prefix="/",
        app_name="a",
        servers=[server] if known in {"router", "draining"} else [],
        fallback_server=replace(server, name="fallback") if known == "fallback" else None,
    )
    backends = {} if known == "nothing" else {"b": backend}
    api: Any = HAProxyApi(cfg=config, backend_configs=backends, config_file_path=str(folder / "haproxy.cfg"))
    api._generate_config_file_internal()
    return (folder / "haproxy.cfg").read_text(), ports


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer whatever is asked, a health check too, as a router does."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"content-length: ")
    await reader.readexactly(int(length.split(b"\r\n")[0]) if length else 0)
    writer.write(ANSWERS)
    await writer.drain()
    writer.close()


@asynccontextmanager
async def started(folder: Path, known: str = "router", **environment: str) -> AsyncIterator[dict[str, int]]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    _, ports = served_file(folder, server.sockets[0].getsockname()[1], known)
    ports["upstream"] = server.sockets[0].getsockname()[1]
    async with server, running(folder, **environment):
        yield ports


@asynccontextmanager
async def succeeded(folder: Path, ports: dict[str, int], known: str) -> AsyncIterator[None]:
    """Another HAProxy takes over from the one that runs in `folder`, as Serve's routers have changed."""
    before = int((folder / "pid").read_text())
    served_file(folder, ports["upstream"], known, ports)
    async with running(folder, "-sf", str(before)):
        async with asyncio.timeout(20):
            while not _has_ended(before):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        yield


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@asynccontextmanager
async def running(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[None]:
    process = await program(folder, *arguments, environment=environment)
    (folder / "pid").write_text(str(process.pid))
    try:
        async with asyncio.timeout(20):
            while process.returncode is None and not (folder / "s.sock").exists():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert process.returncode is None
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def program(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, stderr: int | None = None
) -> asyncio.subprocess.Process:
    """Start HAProxy as Serve does."""
    in_serve = {BINARY_VARIABLE: sys.executable}  # it names what is started here: that must not start itself
    command = [sys.executable, "-m", "deployments.ray_serve.front", "-db", "-f", str(folder / "haproxy.cfg")]
    variables = {**os.environ, **in_serve, **(environment or {})}
    return await asyncio.create_subprocess_exec(*command, *arguments, cwd=ROOT, env=variables, stderr=stderr)


async def answers_at(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def test_statistics_and_metrics_are_for_this_machine_and_the_service_for_all(tmp_path: Path) -> None:
    async with started(tmp_path) as ports:
        reached = {name: await answers_at(MACHINE, ports[name]) for name in ("http", "stats", "metrics")}
        async with httpx.AsyncClient() as client:
            metrics = await client.get(f"http://127.0.0.1:{ports['metrics']}/metrics")

    assert reached == {"http": True, "stats": False, "metrics": False}
    assert "haproxy_process" in metrics.text


async def test_a_router_that_is_asked_in_the_place_of_another_is_told_when_the_request_came(tmp_path: Path) -> None:
    told: list[str] = []

    async def die_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("POST"):
            told.extend(line for line in head.splitlines() if line.startswith(f"{ARRIVED_HEADER}: "))
        if len(told) == 1 and head.startswith("POST"):
            await asyncio.sleep(0.1)
        else:
            writer.write(ANSWERS)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(die_once, "127.0.0.1", 0)
    _, ports = served_file(tmp_path, server.sockets[0].getsockname()[1])
    before = time.time()
    async with server, running(tmp_path), httpx.AsyncClient(timeout=20.0) as client:
        url = f"http://127.0.0.1:{ports['http']}/v1/infer"
        response = await client.post(url, content="Hi", headers={ARRIVED_HEADER: "1 mine"})

    assert response.text == "ok"
    assert told == [told[0]] * 2
    at, host = told[0].removeprefix(f"{ARRIVED_HEADER}: ").split()
    assert before <= int(at) / 1000 + 0.001 <= time.time()
    assert host == socket.gethostname()


async def test_statistics_are_where_the_operator_wants_them(tmp_path: Path) -> None:
    async with started(tmp_path, **{HOST_VARIABLE: "*"}) as ports:
        assert await answers_at(MACHINE, ports["stats"])


async def test_the_service_is_answered_over_tls_with_the_operators_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    chain = tmp_path / "chain.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async with started(tmp_path, **{CERTIFICATE_VARIABLE: str(chain)}) as ports:
        url = f"localhost:{ports['http']}/v1/infer"
        async with httpx.AsyncClient(verify=trusting) as client:
            answered = await client.post(f"https://{url}", json={"text": "Hello"})
            with pytest.raises(httpx.TransportError):
                await client.post(f"http://{url}", json={"text": "Hello"})
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.post(f"https://{url}", json={"text": "Hello"})

    assert answered.text == "ok"


@pytest.mark.parametrize("known", ["nothing", "fallback"])
async def test_until_the_first_router_is_known_the_port_is_closed(tmp_path: Path, known: str) -> None:
    async with started(tmp_path, known) as ports:
        early = await answers_at("127.0.0.1", ports["http"])
        lives = await answers_at("127.0.0.1", ports["stats"])
        async with succeeded(tmp_path, ports, known="router"), httpx.AsyncClient(timeout=5.0) as client:
            first = await client.post(f"http://127.0.0.1:{ports['http']}/v1/infer", json={"text": "Hello"})

    assert (early, lives) == (False, True)
    assert first.text == "ok"


async def test_where_no_application_is_left_the_answer_is_the_last_resort_at_once_and_the_host_is_not_to_be_used(
    tmp_path: Path,
) -> None:
    async with (
        started(tmp_path) as ports,
        succeeded(tmp_path, ports, known="nothing"),
        succeeded(tmp_path, ports, known="nothing"),
        httpx.AsyncClient(timeout=5.0) as client,
    ):
        url = f"http://127.0.0.1:{ports['http']}"
        answered = [await client.post(f"{url}/v1/infer", json={"text": "Hello"}) for _ in range(2)]
        check = await client.get(f"{url}/healthz")

    assert [one.json() for one in answered] == [json.loads(NOBODY)] * 2
    assert {(one.status_code, one.headers["retry-after"]) for one in (*answered, check)} == {(503, "1")}


async def test_a_port_that_is_taken_is_told_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        served_file(tmp_path, known="nothing", ports={"http": other.getsockname()[1], "stats": 1, "metrics": 2})
        process = await program(tmp_path, stderr=asyncio.subprocess.PIPE)
        _, told = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode
    assert "Address already in use" in told.decode()


async def test_a_node_that_serve_drains_is_not_to_be_used_and_answers_what_it_is_sent(tmp_path: Path) -> None:
    async with started(tmp_path, "draining") as ports, httpx.AsyncClient(timeout=5.0) as client:
        url = f"http://127.0.0.1:{ports['http']}"
        checks = [(await client.get(f"{url}{path}")).status_code for path in ("/healthz", "/readyz", "/-/healthz")]
        answered = await client.post(f"{url}/v1/infer", json={"text": "Hello"})

    assert checks == [503] * 3
    assert answered.text == "ok"


def test_what_haproxy_answers_by_itself_is_the_same_in_every_config() -> None:
    for config in CONFIGS:
        lines = [line.split(maxsplit=9) for line in settings_of(config)["BALANCE_ALGORITHM"].splitlines()[1:]]
        told = {line[2]: json.dumps(json.loads(line[9].strip("'"))) for line in lines}
        assert told == {"502": NOBODY, "503": NOBODY, "504": SILENT}


@pytest.mark.parametrize("known", ["router", "draining", "nothing", "fallback"])
def test_a_file_that_was_changed_before_stays_as_it_is(tmp_path: Path, known: str) -> None:
    text, _ = served_file(tmp_path, known=known)
    environment = {CERTIFICATE_VARIABLE: "/etc/tls/chain.pem"}
    once = adapt(text, environment)

    assert once != text
    assert adapt(once, environment) == once
    assert " ssl " not in adapt(once, {})


@pytest.mark.parametrize(
    "line",
    ["frontend prometheus", "listen stats", "frontend http_frontend", "backend default_backend", "acl healthcheck"],
)
def test_a_file_in_which_a_line_is_missing_is_not_started(tmp_path: Path, line: str) -> None:
    text, _ = served_file(tmp_path)

    with pytest.raises(UnknownFileError):
        adapt(text.replace(line, "something else"), {})


@pytest.mark.parametrize("variable", [HOST_VARIABLE, CERTIFICATE_VARIABLE])
def test_a_variable_cannot_bring_lines_of_its_own(tmp_path: Path, variable: str) -> None:
    text, _ = served_file(tmp_path)

    with pytest.raises(UnknownFileError, match=variable):
        adapt(text, {variable: "/x\n  bind *:1"})
