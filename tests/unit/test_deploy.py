"""`neverblank deploy`: an application restarts if and only if its own files have changed."""

from pathlib import Path
from typing import Any

import pytest

from deployments.cli.deploy import arguments_of, change, with_digests
from deployments.settings import SettingsError


def config(folder: Path, **texts: str) -> dict[str, Any]:
    """Two applications, and the files they name with `texts` in them."""
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(texts.get(name, name))
    return {"applications": [{"name": name, "args": {"spec": str(folder / f"{name}.yaml")}} for name in ("a", "b")]}


def running(submitted: dict[str, Any]) -> Any:
    """What Serve tells of the applications it was given."""
    return arguments_of({app["name"]: {"deployed_app_config": app} for app in submitted["applications"]})


def test_an_application_is_changed_if_the_file_it_names_is(tmp_path: Path) -> None:
    before = running(with_digests(config(tmp_path)))
    wanted = running(with_digests(config(tmp_path, b="b, but different")))

    assert [change(name, wanted, before) for name in ("a", "b")] == ["unchanged", "changed"]


def test_an_application_that_comes_is_new_and_one_that_goes_is_removed(tmp_path: Path) -> None:
    both = running(with_digests(config(tmp_path)))
    one = {"a": both["a"]}

    assert (change("b", both, one), change("b", one, both)) == ("new", "removed")


def test_the_config_that_was_read_is_left_as_it_was(tmp_path: Path) -> None:
    given = config(tmp_path)

    with_digests(given)

    assert "digest" not in given["applications"][0]["args"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.yaml"):
        with_digests({"applications": [{"name": "a", "args": {"spec": str(tmp_path / "gone.yaml")}}]})


def test_an_application_serve_says_little_of_has_no_arguments() -> None:
    assert arguments_of({"a": {"deployed_app_config": None}, "b": {}}) == {"a": {}, "b": {}}
