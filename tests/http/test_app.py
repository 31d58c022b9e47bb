"""What a router's process is set to before Serve starts its HTTP server."""

import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import uvicorn.config

from deployments.app import RouterDeployment
from deployments.http.protocol import RouterProtocol


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(uvicorn.config, "HTTP_PROTOCOLS", dict(uvicorn.config.HTTP_PROTOCOLS))
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_a_router_keeps_its_modules_out_of_sight_of_the_garbage_collector_and_speaks_its_own_protocol() -> None:
    RouterDeployment.__serve_build_asgi_app__(SimpleNamespace())  # type: ignore[arg-type]

    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] > 700, "Python's default"
    config = uvicorn.Config(lambda: None, factory=True, log_config=None)
    config.load()
    assert config.http_protocol_class is RouterProtocol
