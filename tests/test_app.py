"""What a router's process is set to before Serve starts its HTTP server, and what Serve is given to run."""

import asyncio
import gc
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn.config
from ray.serve._private.build_app import build_app

from deployments.app import RouterDeployment, build, build_model, build_pool
from deployments.http.protocol import RouterProtocol
from deployments.policy.outcome import Answered
from deployments.ray_serve.names import MODEL_DEPLOYMENT, POOL_DEPLOYMENT, ROUTER_DEPLOYMENT
from deployments.router.router import Router
from deployments.settings import PolicySettings, SettingsError
from tests.router.test_spaces import Scripted
from tests.serving import FakeCluster


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


async def test_a_router_takes_a_policy_over_on_its_event_loop_and_lets_go_of_what_the_one_before_named() -> None:
    remote = {"base_url": "http://127.0.0.1:9/v1", "model": "x"}
    of_backup: Any = Scripted(Answered("x"))
    router: Any = Router(FakeCluster(), of_backup, "backup", PolicySettings())
    reconfigure: Any = RouterDeployment.reconfigure

    for remotes in ({"far": remote}, {}):
        # As Serve does it (`UserCallableWrapper._call_func_or_gen`): what is no coroutine function runs in a thread.
        if inspect.iscoroutinefunction(reconfigure):
            await reconfigure(router, {"remotes": remotes})
        else:
            await asyncio.to_thread(reconfigure, router, {"remotes": remotes})

    assert router.describe()["models"] == {}
    await router._upstreams.aclose()


# --- the applications that a Serve config names -------------------------------------------------------

SPEC = "format: python\nid: echo\ntarget: examples.echo:Echo\n"


def spec(folder: Path, more: str = "") -> str:
    (folder / "echo.yaml").write_text(SPEC + more)
    return str(folder / "echo.yaml")


def pool(folder: Path) -> str:
    file = folder / "pool.yaml"
    file.write_text(f"models: [{spec(folder, 'multiplexed: true')}]\nmodels_per_replica: 2\n")
    return str(file)


def test_the_projects_own_application_has_routers_and_a_backup_beside_them() -> None:
    application = build({})

    assert application._bound_deployment.name == ROUTER_DEPLOYMENT
    assert application._bound_deployment.max_ongoing_requests == 4096


def test_routers_that_are_kept_apart_are_replaced_one_after_the_other_as_others_may_have_no_node_to_go_to() -> None:
    apart, anywhere = build({"routers_per_node": 1})._bound_deployment, build({})._bound_deployment

    def told(one: Any) -> tuple[Any, Any]:
        return one._replica_config.max_replicas_per_node, one._deployment_config.max_surge_percent

    assert (told(apart), told(anywhere)) == ((1, 0), (None, 100))


def test_a_router_that_is_replaced_may_end_the_longest_stream_that_its_policy_allows(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("max_timeout_seconds: 100\nstreams: {max_seconds: 1000}\n")

    assert build({"policy": str(policy)})._bound_deployment._deployment_config.graceful_shutdown_timeout_s > 1100


def test_a_model_and_a_pool_are_built_from_their_files(tmp_path: Path) -> None:
    model, pooled = build_model({"spec": spec(tmp_path)}), build_pool({"pool": pool(tmp_path)})

    assert [each._bound_deployment.name for each in (model, pooled)] == [MODEL_DEPLOYMENT, POOL_DEPLOYMENT]


def test_no_deployment_asks_for_a_request_router_of_its_own_which_serve_refuses_for_a_model(tmp_path: Path) -> None:
    server = "format: server\nid: s\nengine: command\ncommand: [run, '{port}']\nreplicas: {max: 2}\n"
    (tmp_path / "s.yaml").write_text(server)

    (model,) = build_app(build_model({"spec": str(tmp_path / "s.yaml")}), name="s").deployments

    config = model._deployment_config.request_router_config
    assert config.is_default_request_router()
    assert config.request_routing_stats_period_s == 1.0


def test_a_model_that_is_meant_for_a_pool_is_refused_in_an_application_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="multiplexed: is true"):
        build_model({"spec": spec(tmp_path, "multiplexed: true\n")})


@pytest.mark.parametrize("build_it", [build, build_model, build_pool])
def test_an_argument_that_no_application_has_is_refused_by_its_name(build_it: Callable[[Any], Any]) -> None:
    with pytest.raises(SettingsError, match="colour"):
        build_it({"colour": "red"})
