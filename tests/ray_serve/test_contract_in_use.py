"""What Ray does with what this project gives it, and the other way round, as far as that shows without a cluster.

Each test imports the parts of Ray that it needs, so that one that is gone fails one test. What only shows on a running
cluster is held by tests/service.
"""

import ast
import asyncio
import importlib.metadata
import inspect
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from tests.ray_serve.installed import find, switches


def test_serve_copies_when_to_retry_into_haproxys_file_behind_the_options_that_this_takes_back(tmp_path: Path) -> None:
    from ray.serve._private.haproxy import HAProxyApi, HAProxyConfig

    retry_on = switches("serve_config.yaml")["RAY_SERVE_HAPROXY_RETRY_ON"]
    places = {"socket_path": str(tmp_path / "s/admin.sock"), "server_state_base": str(tmp_path)}
    proxy = HAProxyApi(HAProxyConfig(retry_on=retry_on, **places), {}, str(tmp_path / "c/haproxy.cfg"))
    proxy._generate_config_file_internal()

    lines = [line.strip() for line in (tmp_path / "c/haproxy.cfg").read_text().splitlines()]
    assert f"    retry-on {retry_on}\n" in (tmp_path / "c/haproxy.cfg").read_text()
    assert lines.index("option splice-request") < lines.index("no option splice-request"), "the last one counts"


def test_the_last_of_two_headers_tells_serve_to_watch_neither_the_caller_nor_the_clock() -> None:
    from ray.serve._private import http_util, replica

    from deployments.ray_serve.ingress import LEFT_TO_THE_ROUTER

    theirs = [(b"x-request-disconnect-disabled", b"?0"), (b"x-request-timeout-seconds", b"2")]
    headers = dict([*theirs, *LEFT_TO_THE_ROUTER])

    assert 'headers = dict(scope["headers"])' in inspect.getsource(replica), "Serve lets the last of one name count"
    assert http_util.parse_disconnect_disabled_header(headers), "ray_serve/ingress.py: Serve watches the caller"
    assert http_util.parse_request_timeout_header(headers, 660.0) is None, "ray_serve/ingress.py: Serve cuts streams"


def test_serve_leaves_the_choice_of_the_http_protocol_to_uvicorn_which_looks_it_up() -> None:
    source = inspect.getsource(find("ray.serve._private.http_util"))
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    configs = [call for call in calls if ast.unparse(call.func) == "uvicorn.Config"]

    assert configs, "ray_serve/ingress.py: Serve does not start uvicorn any more"
    assert all(option.arg != "http" for call in configs for option in call.keywords)
    assert "auto" in uvicorn.config.HTTP_PROTOCOLS
    assert inspect.signature(uvicorn.Config).parameters["http"].default == "auto"


async def test_uvicorns_connections_have_what_a_routers_protocol_reads() -> None:
    config = uvicorn.Config(lambda *_: None, lifespan="off", log_config=None)
    config.load()
    kind: Any = AutoHTTPProtocol
    protocol = kind(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(asyncio.Transport())
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n")
    for task in protocol.tasks:
        task.cancel()

    assert callable(protocol.app), "http/protocol.py puts another application in its place"
    assert protocol.loop is asyncio.get_running_loop()
    assert (protocol.cycle.disconnected, protocol.cycle.response_complete) == (False, False)
    assert protocol.cycle.more_body, "http/protocol.py tells by it whether the whole body has arrived"


def test_the_applications_are_built_with_options_that_serve_accepts() -> None:
    from deployments import app

    backed = {"policy": "configs/policy.yaml", "backup": "configs/backup.yaml", "routers": 2}

    assert app.build(backed)
    assert app.build_model({"spec": "configs/models/smollm2.yaml"})


def test_serve_scales_the_backup_by_the_policy_that_is_named_and_by_what_its_replicas_report() -> None:
    from ray.serve._private.common import TimeStampedValue
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

    from deployments.ray_serve.autoscaling import EXPECTED_REQUESTS, scale_ahead
    from deployments.ray_serve.options import backup_options
    from deployments.settings import Replicas, ServingSpec

    spec = ServingSpec(replicas=Replicas(min=1, max=9), max_ongoing_requests=8)
    config = AutoscalingConfig(**backup_options(spec, "digest")["autoscaling_config"])
    facts: dict[str, Any] = dict.fromkeys(inspect.signature(AutoscalingContext).parameters)
    reports = {EXPECTED_REQUESTS: {"replica": [TimeStampedValue(timestamp=99.0, value=100.0)]}}
    context = AutoscalingContext(
        **facts | {"raw_metrics": lambda: reports, "total_num_requests": 1.0, "current_time": 100.0, "config": config}
    )

    assert config.policy.get_policy()(context) == scale_ahead(context) == (25, {}), "100 requests, 4 a replica"


def test_the_details_that_serve_gives_are_read_as_applications() -> None:
    from ray.serve.schema import ServeInstanceDetails

    from deployments.ray_serve.cluster import read_applications

    running = {"replica_id": "r", "state": "RUNNING", "start_time_s": 1.0, "actor_id": "abc"}
    deployed: dict[str, Any] = {"name": "Model", "status": "HEALTHY", "status_trigger": "UNSPECIFIED", "message": ""}
    deployed |= {"deployment_config": {"name": "Model"}, "target_num_replicas": 1, "required_resources": {}}
    application: dict[str, Any] = {
        "name": "m",
        "route_prefix": None,
        "docs_path": None,
        "status": "RUNNING",
        "message": "",
    }
    application |= {"last_deployed_time_s": 7.0, "source": "declarative", "external_scaler_enabled": False}
    application |= {"deployments": {"Model": deployed | {"replicas": [running]}}}
    details = ServeInstanceDetails(proxies={}, applications={"m": application})

    told = details._get_user_facing_json_serializable_dict(exclude_unset=True)
    found = read_applications(told, "neverblank")["m"]

    assert (found.status, found.running, found.actors, found.deployed_at) == ("RUNNING", 1, frozenset({"abc"}), 7.0)


async def test_the_connection_to_a_replica_is_made_anew_where_serve_keeps_it() -> None:
    from ray.serve.request_router import RunningReplica

    from deployments.ray_serve.watched_router import WatchedReplica

    kept = {"_channel", "_stub", "_grpc_replica_wrapper"}
    source = inspect.getsource(RunningReplica)
    assert all(f"self.{name} = None" in source or f"self.{name}: " in source for name in kept)
    assert "self.stub, self._actor_handle._actor_id" in source, "its calls take `stub`, which is overridden"
    info = SimpleNamespace(node_ip="127.0.0.1", port=9)
    replica: Any = object.__new__(WatchedReplica)
    replica._replica_info, replica._channel, replica._stub, replica._grpc_replica_wrapper = info, None, None, None
    first = replica.stub
    assert replica.stub is first

    await replica.reconnect()

    assert replica.stub is not first


async def test_a_handle_of_ours_chooses_by_our_class_whatever_the_deployment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configuration of the deployment arrives later, and changes nothing but pauses: the router is built."""
    from ray.serve._private import default_impl, router
    from ray.serve._private.config import DeploymentConfig
    from ray.serve.handle import DeploymentHandle

    from deployments.ray_serve.replica_watch import ReplicaWatch
    from deployments.ray_serve.watched_router import WatchedRouter, watched

    for name in ("LongPollClient", "SharedRouterLongPollClient"):
        monkeypatch.setattr(router, name, Anything())
    monkeypatch.setattr(router.ray, "get_runtime_context", lambda: SimpleNamespace(get_actor_id=lambda: None))
    monkeypatch.setattr("ray.serve.context._get_global_client", lambda: SimpleNamespace(_controller=None))
    monkeypatch.setattr(default_impl, "_get_node_id_and_az", lambda: ("node", None))
    monkeypatch.setattr(default_impl, "get_current_actor_id", lambda: "actor")
    monkeypatch.setattr(router.ServeUsageTag.CUSTOM_REQUEST_ROUTER_USED, "record", lambda _: None, raising=False)
    handle = DeploymentHandle("Model", "m")
    handle._init = partial(handle._init, _run_router_in_separate_loop=False)
    watch = ReplicaWatch()

    chooser = watched(handle, "m", watch)
    handle._router._asyncio_router.update_deployment_config(DeploymentConfig())

    assert type(chooser) is WatchedRouter
    assert handle.options(stream=True)._router._asyncio_router.request_router is chooser
    assert watched(handle, "m", watch) is chooser
    assert (chooser.watch, chooser.hosts()) == (watch, {})


class Anything:
    """Takes whatever is asked of it."""

    def __call__(self, *_: Any, **__: Any) -> "Anything":
        return self

    def __getattr__(self, _: str) -> "Anything":
        return self


def test_the_errors_of_lost_replicas_name_their_actor_as_serves_details_do() -> None:
    from ray.core.generated.common_pb2 import ActorDiedErrorContext
    from ray.exceptions import ActorDiedError, ActorUnavailableError

    died = ActorDiedError(ActorDiedErrorContext(actor_id=b"\x01" * 16))

    assert died.actor_id == ActorUnavailableError("no network", b"\x01" * 16).actor_id == "01" * 16


def test_a_dashboard_that_does_not_answer_is_a_connection_error_in_rays_client() -> None:
    from deployments.ray_serve.dashboard import ClusterError, DashboardClient

    with pytest.raises(ClusterError, match="no cluster answers"):
        DashboardClient("http://127.0.0.1:9")


def test_serve_puts_its_log_in_the_place_of_stderr_and_print_and_leaves_the_original_stderr_alone() -> None:
    source = inspect.getsource(find("ray.serve._private.logging_utils"))

    assert "sys.stderr = " in source, "observability/log.py writes to sys.__stderr__ for that"
    assert "builtins.print = " in source, "observability/log.py formats tracebacks without `print` for that"
    assert "sys.__stderr__ = " not in source


def test_a_service_is_started_and_looked_after_by_processes_of_the_names_that_stop_looks_for() -> None:
    from ray.serve._private.haproxy import HAProxyManager

    from deployments.ray_serve.names import HAPROXY_MANAGER, SERVE_COMMAND

    program, command = SERVE_COMMAND
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=program)

    assert command in entry.load().commands
    assert HAPROXY_MANAGER in HAProxyManager.__ray_metadata__.class_name
