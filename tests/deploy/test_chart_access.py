"""The chart: who reaches what, and where secrets come from."""

from typing import Any

import yaml

from deployments.settings import parse
from deployments.settings.policy import PolicySettings
from tests.deploy.chart import render, values
from tests.deploy.kubernetes import pod_templates
from tests.deploy.test_chart import HIGH, one


def router_settings(found: dict[str, Any]) -> PolicySettings:
    (router,) = yaml.safe_load(found["spec"]["serveConfigV2"])["applications"][0]["deployments"]
    return parse(PolicySettings, router["user_config"], HIGH)


def test_keys_take_the_place_of_an_open_port() -> None:
    locked = {"open": False, "keys": "configs/keys.yaml"}
    made = render(values(HIGH, over={"policy": {"access": locked}, "files": {"keys.yaml": {"keys": {}}}}))
    (found,) = (each for each in made if each["kind"] == "RayService")

    assert router_settings(found).access.keys == locked["keys"]


def test_the_keys_in_a_secret_are_files_of_every_host_and_lock_the_port() -> None:
    made = render(values(HIGH, over={"secrets": {"keys": "callers"}, "policy": {"default_model": "smollm2"}}))
    (found,) = (each for each in made if each["kind"] == "RayService")
    settings = router_settings(found)

    assert (settings.access.open, settings.access.keys, settings.default_model) == (False, "keys", "smollm2")
    for _, template in pod_templates(found):
        (container,) = template["spec"]["containers"]
        (volume,) = (each for each in template["spec"]["volumes"] if each["name"] == "keys")
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "keys")
        assert volume["secret"] == {"secretName": "callers"}
        assert mount["mountPath"] == f"/srv/neverblank/{settings.access.keys}"


def test_secrets_are_named_and_never_made() -> None:
    secrets = {"environment": ["providers"], "hubToken": {"name": "hub", "key": "token"}, "rayToken": "ray"}
    made = render(values(HIGH, over={"secrets": secrets}))
    (found,) = (each for each in made if each["kind"] == "RayService")

    assert not any(each["kind"] == "Secret" for each in made)
    assert found["spec"]["rayClusterConfig"]["authOptions"] == {"mode": "token", "secretName": "ray"}
    for _, template in pod_templates(found):
        (container,) = template["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "providers"}}]
        token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
        assert token in container["env"]


def test_from_outside_only_requests_reach_the_hosts() -> None:
    rules = one(HIGH, "NetworkPolicy")["spec"]["ingress"]
    from_anywhere = [rule for rule in rules if "from" not in rule]

    assert from_anywhere == [{"ports": [{"port": 8000}]}]


def test_only_the_hosts_reach_redis() -> None:
    policy = one("high-availability-redis", "NetworkPolicy", "-redis")["spec"]
    labels = one("high-availability-redis", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    hosts = one("high-availability-redis", "RayService")["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]

    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert rule["ports"] == [{"port": 6379}]
    assert peer["podSelector"]["matchLabels"].items() <= hosts["metadata"]["labels"].items()
