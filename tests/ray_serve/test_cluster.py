"""The applications a router finds in what Serve says of itself."""

from dataclasses import replace
from typing import Any

from deployments.ray_serve.cluster import DeployedApplication, read_applications
from deployments.ray_serve.errors import LoadFailedError, last_line
from deployments.ray_serve.options import model_options
from deployments.settings import HuggingFaceSpec, PoolSpec, PythonSpec

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


def test_the_vector_spaces_of_models_are_read_from_their_options_even_while_none_runs() -> None:
    fields = {"format": "huggingface", "task": "feature-extraction", "sources": [{"kind": "path", "path": "x"}]}
    named = HuggingFaceSpec.model_validate({**fields, "id": "a", "space": "s"})
    unnamed = HuggingFaceSpec.model_validate({**fields, "id": "b"})
    vectors = PythonSpec(format="python", id="c", target="m:C", space="s")
    texts = PythonSpec(format="python", id="d", target="m:C")
    facts = application(Pool=[])
    options = model_options(PoolSpec(models=("x",)), "", untrusted=False, models=(named, unnamed, vectors, texts))
    facts["deployments"]["Pool"]["deployment_config"] = {"ray_actor_options": options["ray_actor_options"]}

    found = read(p=facts, m=application(Model=[RUNNING]))

    assert (found["p"].spaces, found["m"].spaces) == ({"a": "s", "b": "b", "c": "s"}, {})
    assert replace(found["m"], built=False).serving_as(found["p"]).spaces == found["p"].spaces
