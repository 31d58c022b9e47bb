"""The applications a router finds in what Serve says of itself."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private import deployment_state

from deployments.ray_serve.cluster import DeployedApplication, ServeCluster, read_applications
from deployments.ray_serve.errors import LoadFailedError, last_line
from deployments.ray_serve.options import model_options
from deployments.settings import HuggingFaceSpec, PoolSpec, PythonSpec
from deployments.settings.offer import Offer
from tests.servers.standin import a_spec

OWN = "neverblank"
RUNNING = {"state": "RUNNING", "actor_id": "a1"}
STARTING = {"state": "STARTING", "actor_id": "a2", "actor_name": "replica-2"}


def application(message: str = "", **deployments: Any) -> dict[str, Any]:
    """One application as Serve's controller describes it, with the replicas of each deployment."""
    return {
        "status": "RUNNING",
        "message": message,
        "last_deployed_time_s": 7.0,
        "deployments": {name: {"message": "", "replicas": replicas} for name, replicas in deployments.items()},
    }


def read(**applications: Any) -> dict[str, DeployedApplication]:
    return read_applications({"applications": applications}, OWN)


def test_models_and_pools_are_found_with_their_replicas() -> None:
    found = read(m=application(Model=[RUNNING, STARTING]), p=application(Pool=[RUNNING]))

    assert found["m"] == DeployedApplication("m", "RUNNING", "", 1, 1, 7.0, frozenset({"a1"}), loading=("replica-2",))
    assert found["p"].pool


def test_the_routers_own_application_stands_for_the_backup() -> None:
    found = read(neverblank=application(Router=[RUNNING, RUNNING], Backup=[STARTING]))

    assert (found[OWN].running, found[OWN].starting) == (0, 1)


def test_an_application_of_somebody_elses_is_no_model() -> None:
    assert read(theirs=application(Ingress=[RUNNING])) == {}


def test_an_application_that_could_not_be_built_is_a_model_that_says_why() -> None:
    found = read(m=application(message="Traceback:\n  File\nSettingsError: no such file\n"))

    assert not found["m"].built
    assert found["m"].message == "SettingsError: no such file"


def test_a_load_that_failed_is_told_by_the_error_it_failed_with() -> None:
    name = f"{LoadFailedError.__module__}.{LoadFailedError.__qualname__}"

    assert last_line(f"Traceback:\n  File\n{name}: OSError: no weights\n\n") == "OSError: no weights"
    assert last_line(" \n") == ""


def test_what_models_offer_is_read_from_their_options_even_while_none_runs() -> None:
    fields = {"format": "huggingface", "task": "feature-extraction", "sources": [{"kind": "path", "path": "x"}]}
    named = HuggingFaceSpec.model_validate({**fields, "id": "a", "space": "s"})
    unnamed = HuggingFaceSpec.model_validate({**fields, "id": "b"})
    vectors = PythonSpec(format="python", id="c", target="m:C", space="s")
    texts = PythonSpec(format="python", id="d", target="m:C")
    server = a_spec()

    found = read(
        p=offering("Pool", named, unnamed, vectors, texts),
        s=offering("Model", server),
        m=application(Model=[RUNNING]),
        u=application(),
    )

    assert found["p"].offer == Offer({"a": "s", "b": "b", "c": "s"})
    assert found["s"].offer == Offer(passes_on=frozenset({"chat", "text"}))
    assert (found["m"].offer, found["u"].offer) == (Offer(), None)
    assert replace(found["m"], built=False).serving_as(found["p"]).offer == found["p"].offer


def offering(deployment: str, *models: Any) -> dict[str, Any]:
    """An application of `models` without a replica."""
    none: list[Any] = []
    facts = application("", **{deployment: none})
    options = model_options(PoolSpec(models=("x",)), "", untrusted=False, models=models)
    facts["deployments"][deployment]["deployment_config"] = {"ray_actor_options": options["ray_actor_options"]}
    return facts


async def test_what_an_application_will_offer_that_is_not_built_is_read_from_its_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.yaml").write_text("{format: python, id: m, target: 'm:C', space: s}")
    (tmp_path / "odd.yaml").write_text("{format: python, id: odd, revision: 2024-13-45}")
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    (tmp_path / "p.yaml").write_text("{models: [q.yaml]}")
    (tmp_path / "q.yaml").write_text("{format: python, id: q, target: 'm:C', space: t, multiplexed: true}")
    monkeypatch.setenv("NEVERBLANK_ROOT", str(tmp_path))
    configs: dict[str, Any] = {
        "m": {"import_path": "deployments.app:build_model", "args": {"spec": "m.yaml"}},
        "p": {"import_path": "deployments.app:build_pool", "args": {"pool": "p.yaml"}},
        "elsewhere": {"import_path": "deployments.app:build_model", "args": {"spec": "on-another-node.yaml"}},
        "odd": {"import_path": "deployments.app:build_model", "args": {"spec": "odd.yaml"}},
        "deep": {"import_path": "deployments.app:build_model", "args": {"spec": "deep.yaml"}},
        "theirs": {"import_path": "somebody:elses"},
        "bare": None,
    }
    facts = {name: application() | {"deployed_app_config": config} for name, config in configs.items()}
    cluster = ServeCluster(OWN, "r1")

    async def look(**changed: Any) -> dict[str, Offer | None]:
        now = {name: {**each, **changed} for name, each in facts.items()}
        found = await cluster._with_offers(read(**now), now)
        return {name: each.offer for name, each in found.items()}

    offers: dict[str, Offer | None] = {"m": Offer({"m": "s"}), "p": Offer({"q": "t"}), "theirs": Offer()}
    offers |= dict.fromkeys(("elsewhere", "odd", "deep", "bare"))
    assert await look() == offers
    (tmp_path / "m.yaml").write_text("{format: python, id: m, target: 'm:C'}")
    assert await look() == offers
    assert await look(last_deployed_time_s=8.0) == offers | {"m": Offer()}


def test_serves_guess_about_a_slow_start_is_no_reason_and_a_missing_place_is() -> None:
    slow = (
        "Deployment 'Model' in application 'm' has 1 replicas that have taken more than 30s to initialize.\n"
        "This may be caused by a slow __init__ or reconfigure method."
    )
    waits = (
        "Deployment 'Model' in application 'm' has 1 replicas that have taken more than 30s to be scheduled. This may "
        "be due to waiting for the cluster to auto-scale or for a runtime environment to be installed. Resources "
        'required for each replica: {"GPU": 1}, total resources available: {"CPU": 1.5}. '
        "Use `ray status` for more details."
    )

    assert last_line(slow) == ""
    assert last_line(waits) == 'waits for a node with room for it: it needs {"GPU": 1}, and {"CPU": 1.5} are free'


def test_the_words_that_are_replaced_are_those_of_the_installed_serve() -> None:
    source = inspect.getsource(deployment_state)

    for words in (
        "This may be caused by a slow __init__ or reconfigure method.",
        "Resources required for each replica: ",
    ):
        assert words in source


def test_a_replica_that_starts_has_a_beginning() -> None:
    found = read(m=application(Model=[STARTING | {"start_time_s": 5.0}, STARTING | {"start_time_s": 4.0}, RUNNING]))

    assert found["m"].starting_since == 4.0
