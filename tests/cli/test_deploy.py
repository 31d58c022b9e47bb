"""`neverblank deploy`: an application is replaced if and only if its own files have changed, or it has failed."""

from pathlib import Path
from typing import Any

import pytest

from deployments.cli.submission import progress_of, settled, submission
from deployments.settings import SettingsError, digest
from deployments.settings.applications import DIGEST_VARIABLE

NOBODY: dict[str, Any] = {"applications": {}}


def config(folder: Path, **texts: str) -> dict[str, Any]:
    """Two applications, and the files they name with `texts` in them."""
    applications: list[dict[str, Any]] = []
    for name in ("a", "b"):
        file = folder / f"{name}.yaml"
        file.write_text(texts.get(name, name))
        build = "deployments.app:build_model"
        applications.append({"name": name, "import_path": build, "args": {"spec": str(file)}, "deployments": []})
    return {"applications": applications}


def running(submitted: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """What Serve tells of the applications it was given, each with one replica, and of `a` also `facts`."""
    found = {}
    for application in submitted["applications"]:
        environment = {"env_vars": {DIGEST_VARIABLE: digest(application["args"]["spec"])}}
        model = {
            "deployment_config": {"ray_actor_options": {"runtime_env": environment}},
            "replicas": [{"state": "RUNNING"}],
            "message": "",
        }
        known = {
            "status": "RUNNING",
            "message": "",
            "deployed_app_config": application,
            "deployments": {"Model": model},
        }
        found[application["name"]] = known | (facts if application["name"] == "a" else {})
    return {"applications": found}


def changes(wanted: dict[str, Any], before: dict[str, Any]) -> dict[str, str]:
    return {progress.name: progress.change for progress in progress_of(wanted, before, before)}


def test_an_application_is_changed_if_the_file_it_names_is_though_serve_run_started_it(tmp_path: Path) -> None:
    before = running(config(tmp_path))
    wanted = submission(config(tmp_path, b="b, but different"), "serve.yaml", before)

    assert changes(wanted, before) == {"a": "unchanged", "b": "changed"}


def test_one_that_was_changed_is_unchanged_the_next_time(tmp_path: Path) -> None:
    first = running(config(tmp_path))
    changed = submission(config(tmp_path, b="b, but different"), "serve.yaml", first)
    before = running(changed)
    again = submission(config(tmp_path, b="b, but different"), "serve.yaml", before)

    assert changes(again, before) == {"a": "unchanged", "b": "unchanged"}


def test_an_application_that_has_failed_is_tried_again_though_its_file_is_the_same(tmp_path: Path) -> None:
    before = running(config(tmp_path), status="DEPLOY_FAILED")

    assert changes(submission(config(tmp_path), "serve.yaml", before), before) == {"a": "changed", "b": "unchanged"}


def test_an_application_that_comes_is_new_and_one_that_goes_is_removed(tmp_path: Path) -> None:
    both = submission(config(tmp_path), "serve.yaml", NOBODY)
    one = {"applications": both["applications"][:1]}

    assert changes(both, running(one)) == {"a": "unchanged", "b": "new"}
    assert changes(one, running(both)) == {"a": "unchanged", "b": "removed"}


def test_settings_that_are_changed_in_place_are_no_change_of_the_application(tmp_path: Path) -> None:
    before = running(config(tmp_path))
    wanted = submission(config(tmp_path), "serve.yaml", before)
    wanted["applications"][0]["deployments"] = [{"name": "Model", "user_config": {"colour": "red"}}]

    assert changes(wanted, before) == {"a": "settings", "b": "unchanged"}


def test_it_is_over_when_every_application_is_ready_or_has_failed_and_what_was_removed_has_gone(tmp_path: Path) -> None:
    both = config(tmp_path)
    one = {"applications": both["applications"][:1]}

    assert settled(progress_of(both, NOBODY, running(both)))
    assert settled(progress_of(both, NOBODY, running(both, status="DEPLOY_FAILED")))
    assert not settled(progress_of(both, NOBODY, running(both, status="DEPLOYING")))
    assert not settled(progress_of(one, running(both), running(both)))


def test_a_failure_is_told_by_the_last_line_of_the_deployment_and_whether_something_still_serves(
    tmp_path: Path,
) -> None:
    failed = running(config(tmp_path), status="DEPLOY_FAILED", message="Failed to update the deployments ['Model'].")
    failed["applications"]["a"]["deployments"]["Model"]["message"] = "Traceback\n  File\nOSError: no weights\n"
    told, _ = progress_of(config(tmp_path), NOBODY, failed)

    assert told.why == "OSError: no weights (what was there before still serves)"


def test_the_config_that_was_read_is_left_as_it_was(tmp_path: Path) -> None:
    given = config(tmp_path)

    submission(given, "serve.yaml", NOBODY)

    assert "digest" not in given["applications"][0]["args"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = config(tmp_path)
    (tmp_path / "b.yaml").unlink()

    with pytest.raises(SettingsError, match=r"b\.yaml"):
        submission(given, "serve.yaml", NOBODY)


def test_an_application_that_is_not_ours_is_submitted_as_it_is() -> None:
    theirs = {"applications": [{"name": "theirs", "import_path": "their.app:build", "args": {"x": 1}}]}

    assert submission(theirs, "serve.yaml", NOBODY) == theirs
