"""The Serve configs describe one service, with one set of files behind it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from deployments.settings import load, read_backup_spec, read_model_spec
from deployments.settings.policy import PolicySettings

ROOT = Path(__file__).parents[2]
CONFIGS = ("serve_config.yaml", "configs/portable.yaml", "configs/gpu.yaml", "configs/cluster.yaml")
HAPROXY = ("serve_config.yaml", "configs/gpu.yaml", "configs/cluster.yaml")
ON_CLUSTERS = ("configs/gpu.yaml", "configs/cluster.yaml")


def read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return data


@pytest.mark.parametrize("name", CONFIGS)
def test_serve_accepts_the_config(name: str) -> None:
    ServeDeploySchema.model_validate(read(name))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_names_the_shared_files(name: str) -> None:
    service, *models = read(name)["applications"]

    assert load(PolicySettings, service["args"]["policy"]).default_model == "smollm2"
    assert read_backup_spec(service["args"]["backup"]).replicas.min >= 1
    assert service["args"]["policy"] == "configs/policy.yaml"
    for model in models:
        assert read_model_spec(model["args"]["spec"]).id == model["name"]
        assert model["route_prefix"] is None


@pytest.mark.parametrize("name", CONFIGS)
def test_every_application_runs_with_the_controllers_switches(name: str) -> None:
    config = read(name)
    switches = config["controller_options"]["runtime_env"]["env_vars"]

    assert all(app["runtime_env"]["env_vars"] == switches for app in config["applications"])
    assert all(isinstance(value, str) for value in switches.values())


def test_the_default_is_reachable_from_this_machine_only() -> None:
    assert read("serve_config.yaml")["http_options"]["host"] == "127.0.0.1"
    assert read("configs/portable.yaml")["http_options"]["host"] == "127.0.0.1"


def test_serve_cuts_no_request_before_its_longest_deadline_and_stream() -> None:
    longest = load(PolicySettings, "configs/policy.yaml").longest_seconds

    assert all(read(name)["http_options"]["request_timeout_s"] > longest for name in CONFIGS)


@pytest.mark.parametrize("name", HAPROXY)
def test_an_haproxy_that_was_replaced_outlives_the_longest_request_it_can_still_be_sent(name: str) -> None:
    config = read(name)
    variables = config["controller_options"]["runtime_env"]["env_vars"]
    longest = load(PolicySettings, "configs/policy.yaml").longest_seconds
    # A connection that was idle when HAProxy was replaced may bring one more request while it is kept.
    idle = ServeDeploySchema.model_validate(config).http_options.keep_alive_timeout_s

    assert float(variables["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > longest + idle


@pytest.mark.parametrize("name", CONFIGS)
def test_what_listens_on_the_port_has_time_to_start_on_a_busy_machine(name: str) -> None:
    variables = read(name)["controller_options"]["runtime_env"]["env_vars"]

    assert float(variables["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"]) >= 20


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_on_clusters_haproxy_leaves_a_connection_to_a_silent_host_within_three_seconds(name: str) -> None:
    variables = read(name)["controller_options"]["runtime_env"]["env_vars"]
    lines = variables["RAY_SERVE_HAPROXY_RETRY_ON"].split("\n    ")

    assert {"option srvtcpka", "srvtcpka-idle 1s", "srvtcpka-intvl 1s", "default-server tcp-ut 2500ms"} <= set(lines)
    assert not any("shutdown-sessions" in line for line in lines), "it cuts the streams of every router that drains"
    assert float(variables["RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S"]) <= 1


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_on_clusters_the_loss_of_one_node_leaves_a_router_and_a_backup(name: str) -> None:
    arguments = read(name)["applications"][0]["args"]
    replicas = read_backup_spec(arguments["backup"]).replicas

    assert (replicas.min, replicas.per_node) == (2, 1)
    assert arguments["routers"] > arguments["routers_per_node"]
