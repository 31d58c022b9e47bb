"""The chart: valid for Kubernetes and KubeRay, and what high availability is made of."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from deployments.cli.plan import Exposed, examine
from deployments.settings import SettingsError, load, parse, read_model_spec
from deployments.settings.applications import BUILDERS
from deployments.settings.policy import PolicySettings
from tests.deploy.chart import CASES, MANIFESTS, ROOT, RefusedError, manifest, render, values
from tests.deploy.kubernetes import VERSIONS, NotValidError, pod_templates, require_valid

HIGH = "high-availability"
STARTED_S = 10 + 180
"""What a router's drain has beyond its longest request, and what its successor has to start on a busy host."""


@cache
def objects(case: str) -> tuple[dict[str, Any], ...]:
    return tuple(render(values(*CASES[case])))


def one(case: str, kind: str, ending: str = "") -> dict[str, Any]:
    (found,) = (made for made in objects(case) if made["kind"] == kind and made["metadata"]["name"].endswith(ending))
    return found


def service(case: str) -> dict[str, Any]:
    return one(case, "RayService")


def serve_config(case: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(service(case)["spec"]["serveConfigV2"])
    return config


def pods(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The specs of the pods of each group, and of what is no group."""
    for name, template in pod_templates(service(case)):
        yield name, dict(template["spec"])
    for made in objects(case):
        if made["kind"] == "StatefulSet":
            yield made["metadata"]["name"], made["spec"]["template"]["spec"]
        if made["kind"] == "Pod":
            yield made["metadata"]["name"], made["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_object_fits_the_schemas_of_kubernetes_and_kuberay(case: str, version: str) -> None:
    assert objects(case)
    for made in objects(case):
        require_valid(made, version)


@pytest.mark.parametrize(
    ("place", "key"), [("spec", "upgradeStrategie"), ("cluster", "gcsFaultTolerance"), ("pod", "contaners")]
)
def test_a_key_that_no_schema_knows_is_found(place: str, key: str) -> None:
    made = yaml.safe_load(yaml.safe_dump(service(HIGH)))
    cluster = made["spec"]["rayClusterConfig"]
    {"spec": made["spec"], "cluster": cluster, "pod": cluster["headGroupSpec"]["template"]["spec"]}[place][key] = {}

    with pytest.raises(NotValidError, match=key):
        require_valid(made, VERSIONS[0])


@pytest.mark.parametrize("case", CASES)
def test_the_manifests_are_what_the_chart_renders(case: str) -> None:
    assert (MANIFESTS / f"{case}.yaml").read_text() == manifest(case)


@pytest.mark.parametrize("case", CASES)
def test_serve_and_this_project_accept_the_serve_config(case: str) -> None:
    config = serve_config(case)
    ServeDeploySchema.model_validate(config)

    for application in config["applications"]:
        parse(BUILDERS[application["import_path"]], application["args"], case)
    for application in config["applications"][1:]:
        assert read_model_spec(application["args"]["spec"]).id == application["name"]


@pytest.mark.parametrize("case", CASES)
def test_a_router_starts_with_it_as_its_port_is_locked_or_said_to_be_open(case: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(serve_config(case)))

    assert not [found for found in examine(file, tmp_path) if isinstance(found, SettingsError)]


@pytest.mark.parametrize("case", [case for case in CASES if case != "one-node"])
def test_with_several_hosts_the_loss_of_one_leaves_a_router_and_a_backup(case: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(serve_config(case)))
    arguments = serve_config(case)["applications"][0]["args"]

    assert not [found for found in examine(file, tmp_path) if isinstance(found, Exposed)]
    assert arguments["routers"] > arguments["routers_per_node"] == 1


@pytest.mark.parametrize("case", CASES)
def test_the_switches_are_those_of_the_projects_own_config_for_clusters(case: str) -> None:
    own, made = yaml.safe_load((ROOT / "configs/gpu.yaml").read_text()), serve_config(case)

    for key in ("proxy_location", "http_options", "logging_config", "controller_options"):
        assert made[key] == own[key]
    switches = own["controller_options"]["runtime_env"]
    assert all(application["runtime_env"] == switches for application in made["applications"])


@pytest.mark.parametrize("case", CASES)
def test_every_file_that_the_service_reads_is_in_every_pod(case: str) -> None:
    config_map = one(case, "ConfigMap")
    for name, template in pod_templates(service(case)):
        (volume,) = (volume for volume in template["spec"]["volumes"] if volume["name"] == "configs")
        items = {item["path"]: item["key"] for item in volume["configMap"]["items"]}
        assert volume["configMap"]["name"] == config_map["metadata"]["name"], name
        assert items.keys() == {"policy.yaml", "backup.yaml"} | {
            path.relative_to(ROOT / "configs").as_posix() for path in (ROOT / "configs").glob("*/*.yaml")
        }
        for path, key in items.items():
            assert yaml.safe_load(config_map["data"][key]) == yaml.safe_load((ROOT / "configs" / path).read_text())


def test_a_file_of_the_values_gives_the_pods_another_set_of_files() -> None:
    plain = values("one-node")
    mine = values("one-node", over={"files": {"models/mine.yaml": {"format": "python", "id": "mine"}}})
    (first, second) = (
        next(made["metadata"]["name"] for made in render(given) if made["kind"] == "ConfigMap")
        for given in (plain, mine)
    )

    assert first != second
    assert all(made["immutable"] for made in render(mine) if made["kind"] == "ConfigMap")


@pytest.mark.parametrize("case", CASES)
def test_no_pod_runs_as_root_or_with_more_than_it_needs(case: str) -> None:
    for name, spec in pods(case):
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert not container["securityContext"]["allowPrivilegeEscalation"], name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name


def test_the_head_of_many_hosts_holds_no_replica_and_gets_no_requests() -> None:
    spec = service(HIGH)["spec"]

    assert spec["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["excludeHeadPodFromServeSvc"]


def test_the_heads_readiness_does_not_wait_for_the_service_that_waits_for_the_head() -> None:
    for case in CASES:
        (container,) = dict(pods(case))["head"]["containers"]
        assert "readinessProbe" not in container
        assert "startupProbe" not in container


def test_a_host_gets_requests_while_a_router_answers_them() -> None:
    (container,) = dict(pods(HIGH))["cpu"]["containers"]

    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "serve"}
    assert "livenessProbe" not in container


def test_a_deployment_waits_for_every_router_to_have_a_model() -> None:
    assert "http://neverblank:8000/readyz" in one(HIGH, "Pod")["spec"]["containers"][0]["args"]
    assert service(HIGH)["spec"]["serveService"]["metadata"]["name"] == "neverblank"


def test_routers_and_hosts_are_spread_and_leave_one_at_a_time() -> None:
    groups = service(HIGH)["spec"]["rayClusterConfig"]["workerGroupSpecs"]

    assert serve_config(HIGH)["applications"][0]["args"]["routers_per_node"] == 1
    for group in groups:
        (constraint,) = group["template"]["spec"]["topologySpreadConstraints"]
        labels = group["template"]["metadata"]["labels"]
        budget = one(HIGH, "PodDisruptionBudget", group["groupName"])["spec"]
        assert (budget.get("minAvailable"), budget.get("maxUnavailable")) == (group["minReplicas"] - 1, None)
        for selector in (constraint["labelSelector"], budget["selector"]):
            named = dict(selector["matchLabels"])
            assert named.pop("ray.io/group") == group["groupName"]
            assert named.items() <= labels.items()
    assert serve_config(HIGH)["applications"][0]["args"]["routers"] <= sum(group["minReplicas"] for group in groups)


def test_a_host_may_take_as_long_to_leave_as_its_successors_to_start_and_the_longest_stream_to_end() -> None:
    policy = load(PolicySettings, "configs/policy.yaml")
    longest = policy.longest_seconds + STARTED_S
    spec = dict(pods(HIGH))["cpu"]
    variables = {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}

    assert float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) >= longest
    assert spec["terminationGracePeriodSeconds"] > float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert service(HIGH)["spec"]["rayClusterDeletionDelaySeconds"] >= policy.longest_seconds


def test_a_lost_host_is_noticed_as_soon_as_on_any_cluster_of_this_project() -> None:
    told = dict(re.findall(r"(?m)^(\w+)=(.*)$", (ROOT / "configs/ray.env").read_text()))

    assert told
    for name, template in pod_templates(service(HIGH)):
        variables = {each["name"]: each.get("value") for each in template["spec"]["containers"][0]["env"]}
        assert told.items() <= variables.items(), name


def test_what_ray_knows_outlives_the_head_on_a_volume_or_in_redis() -> None:
    by_volume = service(HIGH)["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    by_redis = service("high-availability-redis")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    (claim,) = one("high-availability-redis", "StatefulSet")["spec"]["volumeClaimTemplates"]

    assert by_volume["backend"] == "rocksdb"
    assert by_volume["storage"]["size"]
    assert (by_redis["backend"], by_redis["redisAddress"]) == ("redis", "redis://neverblank-redis:6379")
    assert "secretKeyRef" in by_redis["redisPassword"]["valueFrom"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_hosts_with_gpus_ask_for_them_and_the_others_see_none() -> None:
    specs = dict(pods("gpu"))
    (gpu,), (cpu,) = specs["gpu"]["containers"], specs["cpu"]["containers"]

    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in cpu["env"]
    assert not any(variable["name"] == "NVIDIA_VISIBLE_DEVICES" for variable in gpu["env"])


@pytest.mark.parametrize(
    ("files", "over", "named"),
    [
        (("one-node",), {"routrs": {"count": 2}}, "routrs"),
        (("one-node",), {"routers": {"count": 0}}, "count"),
        (("one-node",), {"image": {"digest": "sha256:12"}}, "digest"),
        (("one-node",), {"files": {"../policy.yaml": {}}}, "policy.yaml"),
        ((HIGH,), {"snapshots": {"cache": {"kind": "volume"}}}, "kind"),
        ((HIGH,), {"upgrade": {"strategy": "NewClusterWithIncrementalUpgrade"}}, "autoscaling"),
        ((HIGH, "redis"), {"gcs": {"redis": {"bundled": False}}}, "address"),
    ],
)
def test_values_that_are_unknown_or_contradict_each_other_are_refused(
    files: tuple[str, ...], over: Mapping[str, Any], named: str
) -> None:
    with pytest.raises(RefusedError, match=named):
        render(values(*files, over=over))


def test_a_new_head_starts_where_the_volume_of_the_old_one_is() -> None:
    (head,) = pod_templates(service("one-node"))
    _, template = head
    (claim,) = (volume["persistentVolumeClaim"] for volume in template["spec"]["volumes"] if volume["name"] == "cache")
    (term,) = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

    assert one("one-node", "PersistentVolumeClaim")["metadata"]["name"] == claim["claimName"]
    assert service("one-node")["spec"]["upgradeStrategy"] == {"type": "NewCluster"}
    assert term["topologyKey"] == "kubernetes.io/hostname"
    # The first one, and what clears up behind the last one, wait for nobody: they are such pods themselves.
    assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (without,) = term["labelSelector"]["matchExpressions"]
    assert (without["key"] in template["metadata"]["labels"], without["operator"]) == (False, "DoesNotExist")
    assert without["key"] in one("one-node", "Pod")["metadata"]["labels"]
    assert all("affinity" not in spec for case in CASES if case != "one-node" for _, spec in pods(case))


@pytest.mark.parametrize(("kind", "mounted"), [("volume", True), ("scratch", True), ("image", False)])
def test_the_weights_of_an_image_are_not_hidden_by_a_volume(kind: str, mounted: bool) -> None:  # noqa: FBT001 - a case
    made = render(values("one-node", over={"snapshots": {"cache": {"kind": kind}}}))
    (found,) = (each for each in made if each["kind"] == "RayService")
    ((_, template),) = pod_templates(found)
    paths = [mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]]

    assert ("/var/cache/neverblank" in paths) == mounted
    assert any(each["kind"] == "PersistentVolumeClaim" for each in made) == (kind == "volume")
