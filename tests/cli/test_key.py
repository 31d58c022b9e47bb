"""`neverblank key`: a key is shown once, its file holds hashes, and `neverblank check` says what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deployments.access.credential import read_credential
from deployments.access.keyring import Keyring
from deployments.cli import app
from deployments.policy.problem import InvalidRequestError
from deployments.settings import SettingsError
from deployments.settings.keys import read_keys
from tests.access.keys import write_keys


def run(*arguments: Path | str, fails: type[Exception] | None = None) -> str:
    result = CliRunner().invoke(app, ["key", *map(str, arguments)])
    if fails:
        assert isinstance(result.exception, fails)
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def opens(file: Path, key: str) -> str:
    sent = read_credential([(b"x-api-key", key.encode())])
    assert sent is not None
    try:
        return Keyring(read_keys(str(file))).find(sent, 0.0).name
    except InvalidRequestError:
        return ""


@pytest.fixture(params=["file", "folder"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / "keys"
    if request.param == "folder":
        place.mkdir()
    return place


def test_a_key_is_made_rotated_and_revoked_and_its_file_never_has_it(file: Path) -> None:
    rights = ("--model", "m", "--boundary", "eu", "--limit", "tokens_per_day=1000", "--limit", "money_per_day=0.5")
    first = run("new", "team", *rights, "--expires", "2030-01-01", "--file", file)
    other = run("new", "other", "--admin", "--boundary", "local", "--file", file)
    assert (opens(file, first), opens(file, other)) == ("team", "other")

    second = run("rotate", "team", "--file", file)
    assert [opens(file, key) for key in (first, second, other)] == ["team", "team", "other"]
    listed: dict[str, Any] = json.loads(run("list", "--json", "--file", file))
    texts = [each.read_text() for each in ([file] if file.is_file() else file.iterdir()) if each.suffix != ".lock"]
    run("revoke", "team", "--file", file)

    assert [opens(file, key) for key in (first, second, other)] == ["", "", "other"]
    team = listed["team"]
    assert (team["models"], team["boundary"], team["tokens_per_day"], team["money_per_day"]) == (
        ["m"],
        ["eu"],
        1000,
        0.5,
    )
    assert (listed["other"]["admin"], listed["other"]["boundary"], "hash" in team) == (True, "local", False)
    secrets = [key.rpartition("-")[2] for key in (first, second, other)]
    assert not [text for text in texts for secret in secrets if secret in text]


@pytest.mark.parametrize("ending", ["", ".yaml", ".yml"])
def test_a_key_in_a_folder_is_changed_in_the_file_that_it_is_in(tmp_path: Path, ending: str) -> None:
    run("new", "team", "--file", str(tmp_path))
    (tmp_path / "team.yaml").rename(tmp_path / f"team{ending}")

    rotated = run("rotate", "team", "--file", str(tmp_path))

    assert opens(tmp_path, rotated) == "team"
    assert [file.name for file in tmp_path.iterdir()] == [f"team{ending}"]
    run("revoke", "team", "--file", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new", "a"), "is there already"),
        (("rotate", "none"), "does not exist"),
        (("revoke", "none"), "does not exist"),
        (("new", "b", "--limit", "tokens_per_day=-1"), "tokens_per_day: is -1"),
        (("new", "b", "--limit", "colour=1"), "is not a limit"),
        (("new", "b", "--tier", "third"), "tiers"),
        (
            (
                "new",
                "not a name",
            ),
            "keys",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_the_file_stays_as_it_is(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    file = tmp_path / "keys.yaml"
    write_keys(file, a={})
    before = file.read_text()

    assert told in run(*arguments, "--file", str(file), fails=SettingsError)
    assert file.read_text() == before


def test_where_there_are_no_keys_yet_the_list_says_how_one_is_made(tmp_path: Path) -> None:
    assert "neverblank key new" in run("list", "--file", tmp_path / "keys.yaml", fails=SettingsError)


def test_who_makes_a_key_is_told_what_to_do_with_it_beside_it_and_not_in_its_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    made = CliRunner().invoke(app, ["key", "new", "team", "--file", str(file)])

    assert opens(file, made.stdout.strip()) == "team"
    assert f"access: {{keys: {file}}}" in made.stderr


@pytest.mark.parametrize(
    ("host", "access", "told"),
    [
        ("127.0.0.1", {}, ""),
        ("::1", {}, ""),
        ("0.0.0.0", {}, "http_options.host"),  # noqa: S104 - refused
        ("10.0.0.7", {}, "http_options.host"),
        ("0.0.0.0", {"open": True}, ""),  # noqa: S104 - said to be meant
        ("0.0.0.0", {"keys": "good.yaml"}, ""),  # noqa: S104 - locked
        ("127.0.0.1", {"keys": "typo.yaml"}, "keys.a.models: names 'smolm2'"),
        ("127.0.0.1", {"keys": "none.yaml"}, "cannot be read"),
        ("127.0.0.1", {"keys": "money.yaml"}, "keys.a.money_per_day: bounds nothing"),
        ("127.0.0.1", {"keys": "good.yaml", "open": True}, "access.open"),
    ],
)
def test_check_says_before_the_start_who_could_ask(
    tmp_path: Path, host: str, access: dict[str, Any], told: str
) -> None:
    write_keys(tmp_path / "good.yaml", a={"models": ["smollm2", "backup", "x-*"]})
    write_keys(tmp_path / "typo.yaml", a={"models": ["smolm2"]})
    write_keys(tmp_path / "money.yaml", a={"money_per_day": 5})
    config = yaml.safe_load(Path("serve_config.yaml").read_text())
    config["http_options"]["host"] = host
    if "keys" in access:
        access = access | {"keys": str(tmp_path / access["keys"])}
    config["applications"][0]["deployments"] = [{"name": "Router", "user_config": {"access": access}}]
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(config))

    checked = CliRunner().invoke(app, ["check", str(tmp_path / "serve.yaml")])

    assert checked.exit_code == bool(told), checked.output
    assert told in checked.output


def test_a_disk_that_is_full_changes_no_key_and_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = run("new", "team-a", "--file", file)
    before = sorted(path.name for path in file.parent.rglob("*"))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(yaml, "safe_dump", full)

    assert "No space left" in run("rotate", "team-a", "--file", file, fails=OSError)
    assert "No space left" in run("new", "team-b", "--file", file, fails=OSError)
    assert sorted(path.name for path in file.parent.rglob("*")) == before
    assert opens(file, key) == "team-a"


@pytest.mark.parametrize("hours", ["-1", "1e9"])
def test_a_grace_out_of_range_is_refused(file: Path, hours: str) -> None:
    run("new", "team-a", "--file", file)

    result = CliRunner().invoke(app, ["key", "rotate", "team-a", "--grace", hours, "--file", str(file)])

    assert result.exit_code == 2
