"""A scripted service behind a real port, and the command as its users start it: what the tests of the CLI share."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import uvicorn

from deployments.cli import main
from deployments.http.asgi import build_asgi
from tests.http.service import ScriptedService


@contextmanager
def listening(service: ScriptedService) -> Iterator[str]:
    """The address of `service` while it is served."""
    server = uvicorn.Server(uvicorn.Config(build_asgi(service), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)  # another thread's server sets no event
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def neverblank(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> Done:
    """Run the command in this process."""
    monkeypatch.setattr(sys, "argv", ["neverblank", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    return Done(code if isinstance(code, int) else 0, *capsys.readouterr())
