"""Where a model runs: the decisions, for machines that are not here."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ray.serve.config import RequestRouterConfig

from deployments.generation.devices import Machine, choose_device, choose_dtype, configure_torch
from deployments.ray_serve.options import autoscaling_config, model_options, replica_options
from deployments.settings import BackupSpec, Replicas, ServingSpec, SettingsError, read_backup_spec, read_pool_spec
from deployments.settings.policy import PolicySettings
from tests.servers.standin import a_spec

CPU = Machine(cuda=False, fast_bfloat16=False)
AMX = Machine(cuda=False, fast_bfloat16=True)
GPU = Machine(cuda=True, fast_bfloat16=False)


def gpus(cluster: float, **spec: Any) -> float:
    return float(replica_options(ServingSpec(**spec), cluster)["ray_actor_options"].get("num_gpus", 0))


def test_a_model_takes_a_gpu_when_the_cluster_has_one() -> None:
    assert gpus(1) == 1.0


def test_a_model_takes_none_when_the_cluster_has_none() -> None:
    assert gpus(0) == 0


def test_a_model_can_take_a_part_of_a_gpu() -> None:
    assert gpus(1, num_gpus=0.25) == 0.25


def test_a_model_bound_to_the_cpu_takes_no_gpu() -> None:
    assert gpus(8, device="cpu") == 0


def test_a_model_that_demands_a_gpu_asks_for_it_before_the_cluster_has_one() -> None:
    assert gpus(0, device="cuda") == 1.0


@pytest.mark.parametrize(
    ("wanted", "machine", "device"),
    [("auto", CPU, "cpu"), ("auto", GPU, "cuda"), ("cpu", GPU, "cpu"), ("cuda", GPU, "cuda")],
)
def test_the_replica_runs_on_the_device_it_has(wanted: str, machine: Machine, device: str) -> None:
    assert choose_device(wanted, machine) == device


def test_a_demanded_gpu_that_is_missing_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="sees no GPU"):
        choose_device("cuda", CPU)


@pytest.mark.parametrize(
    ("wanted", "device", "machine", "dtype"),
    [
        ("auto", "cuda", GPU, "bfloat16"),
        ("auto", "cpu", AMX, "bfloat16"),
        ("auto", "cpu", CPU, "float32"),
        ("float16", "cpu", CPU, "float16"),
    ],
)
def test_the_precision_is_one_the_hardware_is_fast_at(wanted: str, device: str, machine: Machine, dtype: str) -> None:
    assert choose_dtype(wanted, device, machine) == dtype


def test_attention_on_a_gpu_is_not_planned_anew_for_every_length_of_a_batch() -> None:
    enabled: Any = torch.backends.cuda.cudnn_sdp_enabled  # torch has no types for it
    before = enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        configure_torch("cpu", 0)
        on_cpu = enabled()
        configure_torch("cuda", 0)
        assert (on_cpu, enabled()) == (True, False)
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_nothing_a_replica_streams_is_queued_without_bounds() -> None:
    environment = replica_options(ServingSpec(), 0)["ray_actor_options"]["runtime_env"]["env_vars"]

    assert environment["RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD"] == "0"


def test_a_burst_that_the_replicas_have_room_for_is_not_refused() -> None:
    spec = ServingSpec(max_ongoing_requests=64, max_queued_requests=10, replicas=Replicas(max=2))

    assert replica_options(spec, 0)["max_queued_requests"] == 2 * 64 + 10


def test_whether_a_replicas_server_runs_is_told_every_second() -> None:
    one, two = a_spec(), a_spec(replicas={"max": 2})
    config = model_options(two, "", untrusted=False, models=(two,))["request_router_config"]

    assert RequestRouterConfig(**config).request_routing_stats_period_s == 1.0
    assert "request_router_config" not in model_options(one, "", untrusted=False, models=(one,))
    assert "request_router_config" not in model_options(ServingSpec(), "", untrusted=False)


def test_a_new_version_starts_beside_the_old_one_unless_a_node_cannot_hold_both() -> None:
    assert replica_options(ServingSpec(), 0)["max_surge_percent"] == 100
    assert replica_options(ServingSpec(replicas=Replicas(surge=False)), 0)["max_surge_percent"] == 0


def test_a_model_may_scale_to_zero_and_the_backup_and_pools_may_not(tmp_path: Path) -> None:
    assert autoscaling_config(ServingSpec(replicas=Replicas(min=0)))["min_replicas"] == 0
    (tmp_path / "backup.yaml").write_text("sources: [{kind: path, path: x}]\nreplicas: {min: 0}\n")
    (tmp_path / "pool.yaml").write_text("models: [a.yaml]\nreplicas: {min: 0}\n")
    for load, file in ((read_backup_spec, "backup.yaml"), (read_pool_spec, "pool.yaml")):
        with pytest.raises(SettingsError, match=r"replicas\.min: is 0"):
            load(str(tmp_path / file))


def test_the_backup_never_scales_to_zero() -> None:
    spec: BackupSpec = read_backup_spec("configs/backup.yaml")

    assert autoscaling_config(spec)["min_replicas"] >= 1
    assert autoscaling_config(spec)["max_replicas"] == spec.replicas.max


def test_a_replica_that_is_replaced_may_end_the_longest_request_that_the_policy_allows() -> None:
    assert replica_options(ServingSpec(), 0)["graceful_shutdown_timeout_s"] > PolicySettings().longest_seconds
    shorter = ServingSpec(replicas=Replicas(drain_seconds=5))
    assert replica_options(shorter, 0)["graceful_shutdown_timeout_s"] == 5


def test_where_a_node_may_hold_one_replica_only_a_new_version_needs_no_second_node() -> None:
    options = replica_options(ServingSpec(replicas=Replicas(min=2, max=4, per_node=1)), 0)

    assert (options["max_replicas_per_node"], options["max_surge_percent"]) == (1, 0)
    assert "max_replicas_per_node" not in replica_options(ServingSpec(), 0)


def test_one_replica_alone_cannot_be_kept_to_its_node() -> None:
    with pytest.raises(ValueError, match="min of 2 or more"):
        Replicas(min=1, max=2, per_node=1)
