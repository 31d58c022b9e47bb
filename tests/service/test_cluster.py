"""The service seen from its cluster: handles, cancellation, models that come and go."""

import asyncio
import json
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve

from deployments.app import build_model
from tests.service.models import WORDS
from tests.service.service import BIN, Service, eventually

LONG = {"text": "Tell me a very long story about the sea.", "max_tokens": 1500, "timeout": 60}
GONE_S = 0.1
"""How soon a replica must have stopped after its caller went away."""


def active(handle: Any) -> int:
    """How many requests the replica itself says it is generating for."""
    return int(handle.describe.remote().result()["active"])


@pytest.mark.usefixtures("cluster")
def test_a_ray_job_gets_the_same_answer_through_the_handle() -> None:
    handle = serve.get_app_handle("neverblank")

    answer = handle.infer.remote({"text": "Hello", "fault": "raise", "max_tokens": 4}, "faulty").result()

    assert (answer["served_by"], answer["degraded"]) == ("backup", True)
    assert answer["attempts"][0]["reason"] == "ValueError: this model is broken"


@pytest.mark.usefixtures("cluster")
def test_a_ray_job_gets_a_stream_through_the_handle() -> None:
    handle = serve.get_app_handle("neverblank").options(stream=True)

    *pieces, answer = list(handle.infer_stream.remote({"text": "Hello"}, "narrator"))

    assert "".join(piece["text"] for piece in pieces) == answer["result"] == "".join(WORDS)
    assert answer["served_by"] == "primary"


@pytest.mark.usefixtures("cluster")
def test_a_bad_request_through_the_handle_is_explained_and_not_raised() -> None:
    answer = serve.get_app_handle("neverblank").infer.remote({"text": 5}).result()

    assert answer["error"]["field"] == "text"
    assert answer["result"].strip()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("pause_s", [0.0, 0.01], ids=["whole", "body after head"])
def test_generation_stops_when_an_http_caller_goes_away(service: Service, pause_s: float) -> None:
    model = serve.get_deployment_handle("Model", app_name="smollm2")
    body = json.dumps(LONG).encode()
    with socket.create_connection(("127.0.0.1", service.port)) as caller:
        head = f"POST /v1/infer/smollm2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if pause_s:
            caller.sendall(head)
            time.sleep(pause_s)
            caller.sendall(body)
        else:
            caller.sendall(head + body)
        eventually(lambda: active(model) == 1, 10)
    gone = time.monotonic()

    eventually(lambda: active(model) == 0, GONE_S + 5, every_s=0.005)
    assert time.monotonic() - gone <= GONE_S + 0.05  # the question itself takes a moment on a busy core


@pytest.mark.usefixtures("cluster")
def test_generation_stops_when_a_handle_caller_goes_away() -> None:
    model = serve.get_deployment_handle("Model", app_name="smollm2")
    response = serve.get_app_handle("neverblank").infer.remote(LONG, "smollm2")
    eventually(lambda: active(model) == 1, 10)

    response.cancel()
    gone = time.monotonic()

    eventually(lambda: active(model) == 0, GONE_S + 5, every_s=0.005)
    assert time.monotonic() - gone <= GONE_S + 0.05


def test_a_model_hears_of_its_callers_leaving(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "cancelled"

    async def give_up() -> float:
        async with httpx.AsyncClient(base_url=service.http.base_url) as caller:
            body = {"text": "Hello", "fault": "watch", "file": str(file), "timeout": 60}
            asking = asyncio.create_task(caller.post("/v1/infer/faulty", json=body, timeout=60))
            await asyncio.to_thread(eventually, file.with_suffix(".started").exists, 10)
            asking.cancel()
            return time.time()

    gone = asyncio.run(give_up())

    assert float(eventually(file.read_text, 5)) - gone <= GONE_S


@pytest.mark.usefixtures("cluster")
def test_a_model_that_appears_is_found_within_three_seconds_and_forgotten_when_it_goes(service: Service) -> None:
    target = build_model({"spec": "tests/service/configs/late.yaml"})
    serve.run(target, name="late", route_prefix=None)
    running = time.monotonic()

    eventually(lambda: service.ask({"text": "Hello", "max_tokens": 4}, "late")[0]["served_by"] == "primary", 5)
    assert time.monotonic() - running <= 3

    serve.delete("late")
    answer = eventually(
        lambda: [a for a, _ in [service.ask({"text": "Hello", "max_tokens": 4}, "late")] if a["degraded"]], 5
    )[0]
    assert answer["served_by"] == "backup"


def test_serve_status_works_from_a_second_shell(service: Service) -> None:
    address = eventually(lambda: _dashboard(service))
    environment = {"PATH": str(BIN), "HOME": str(Path.home())}  # no RAY_AUTH_MODE, no token

    shell = subprocess.run(  # noqa: S603 - our own program
        [BIN / "serve", "status", "-a", address], env=environment, capture_output=True, text=True, check=False
    )

    assert "smollm2" in shell.stdout, shell.stderr
    assert "Authentication" not in shell.stderr


def _dashboard(service: Service) -> str:
    found = re.search(r"dashboard at \S*?(http://[\d.]+:\d+)", service.log)
    return found.group(1) if found else ""
