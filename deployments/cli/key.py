"""`neverblank key`: makes, lists, rotates and revokes keys in a file. A key is printed once: the file has a hash."""

import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from filelock import FileLock
from rich.console import Console
from rich.table import Table

from deployments.access.credential import hash_secret, new_credential
from deployments.access.measure import Measure
from deployments.cli.options import AsJson
from deployments.settings import SettingsError, parse, resolve
from deployments.settings.keys import KeysFile, KeySpec, key_files, key_name, read_keys

DEFAULT_KEYS = "configs/keys.yaml"

_Name = Annotated[str, typer.Argument(help="What logs and `/status` call the key.")]
_File = Annotated[str, typer.Option("--file", help="The file of the keys, or the folder with one file for each.")]
_Models = Annotated[
    list[str] | None, typer.Option("--model", help="A model, or a pattern with `*`; repeat it for more.")
]
_Tiers = Annotated[list[str] | None, typer.Option("--tier", help="`primary` or `backup`; without it, both.")]
_Boundary = Annotated[
    list[str] | None, typer.Option("--boundary", help="`local`, or a label; repeat it for more labels.")
]
_Limits = Annotated[list[str] | None, typer.Option("--limit", help=f"NAME=NUMBER, of: {', '.join(Measure)}.")]
_Expires = Annotated[str | None, typer.Option(help="A date, or a date and time.")]
_Grace = Annotated[float, typer.Option(min=0, max=8760, help="Hours for which the key before is taken, too.")]

key_commands = typer.Typer(no_args_is_help=True, help="Keys of callers.")
_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


@key_commands.command()
def new(
    name: _Name,
    model: _Models = None,
    tier: _Tiers = None,
    boundary: _Boundary = None,
    limit: _Limits = None,
    expires: _Expires = None,
    file: _File = DEFAULT_KEYS,
    *,
    admin: Annotated[bool, typer.Option("--admin", help="It may see and change the service.")] = False,
) -> None:
    """Make a key, and print it: nobody can read it from the file afterwards."""
    credential = new_credential()
    facts: dict[str, Any] = {"id": credential.id, "hash": hash_secret(credential.secret)}
    facts |= {"models": model} if model else {}
    facts |= {"tiers": tier} if tier else {}
    facts |= {"boundary": boundary[0] if boundary in (["local"], ["anywhere"]) else boundary} if boundary else {}
    facts |= dict(map(_limit, limit or ()))
    facts |= {"expires": expires} if expires else {}
    facts |= {"admin": True} if admin else {}

    def add(keys: dict[str, Any]) -> None:
        if name in keys:
            raise SettingsError(file, f"keys.{name}", "is there already", "another name, or `neverblank key rotate`")
        keys[name] = facts

    _change(file, add)
    typer.echo(str(credential))
    _errors.print(
        f"shown this once: {file} has a salted hash. Routers ask for keys where the policy has access: {{keys: {file}}}"
    )


@key_commands.command()
def rotate(name: _Name, grace: _Grace = 24.0, file: _File = DEFAULT_KEYS) -> None:
    """Make a new key in the place of one, and print it. The one before is taken for a while."""
    made: list[str] = []

    def change(keys: dict[str, Any]) -> None:
        facts = _require(keys, name, file)
        credential = new_credential(str(facts["id"]))
        until = datetime.now(UTC) + timedelta(hours=grace)
        facts |= {"previous_hash": facts["hash"], "previous_until": until.isoformat("T", "seconds")}
        facts["hash"] = hash_secret(credential.secret)
        made.append(str(credential))

    _change(file, change)
    typer.echo(made[0])


@key_commands.command()
def revoke(name: _Name, file: _File = DEFAULT_KEYS) -> None:
    """Remove a key. Routers that run refuse it within two seconds; what is under way is answered."""

    def remove(keys: dict[str, Any]) -> None:
        _require(keys, name, file)
        del keys[name]

    _change(file, remove)
    _errors.print(f"revoked {name}")


@key_commands.command("list")
def list_keys(file: _File = DEFAULT_KEYS, *, as_json: AsJson = False) -> None:
    """Show the keys: what each may, and how much of it."""
    if not resolve(file).exists():
        raise SettingsError(file, "", "does not exist", "`neverblank key new NAME` makes it")
    keys = read_keys(file)
    if as_json:
        hidden = {"hash", "previous_hash"}
        typer.echo(
            json.dumps({name: key.model_dump(mode="json", exclude=hidden) for name, key in keys.items()}, indent=2)
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("key", "id", "models", "tiers", "boundary", "limits", "expires"):
        table.add_column(column, overflow="fold")
    for name, key in sorted(keys.items()):
        table.add_row(f"{name} (admin)" if key.admin else name, key.id, *_row(key))
    Console(markup=False).print(table)


def _row(key: KeySpec) -> list[str]:
    boundary = key.boundary if isinstance(key.boundary, str) else ", ".join(key.boundary)
    limits = [f"{measure} {limit:g}" for measure in Measure if (limit := getattr(key, measure.value)) is not None]
    expires = key.expires.isoformat(" ", "minutes") if key.expires else ""
    return [", ".join(key.models), ", ".join(key.tiers), boundary, ", ".join(limits), expires]


def _limit(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    accepted = f"NAME=NUMBER, of: {', '.join(Measure)}"
    try:
        amount = float(number)
    except ValueError as error:
        raise SettingsError("--limit", name, f"is {number!r}", accepted) from error
    if name not in set(Measure):
        raise SettingsError("--limit", name, "is not a limit", accepted)
    return name, int(amount) if amount.is_integer() else amount


def _require(keys: dict[str, Any], name: str, file: str) -> dict[str, Any]:
    if name not in keys:
        raise SettingsError(file, f"keys.{name}", "does not exist", f"one of: {', '.join(keys) or 'there is none'}")
    facts: dict[str, Any] = keys[name]
    return facts


def _change(file: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the keys at `file`, as a whole or not at all: a router never reads half a file."""
    place = resolve(file)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / f".{place.name}.lock", timeout=10):
        known = read_keys(file) if place.exists() else {}
        keys = {name: key.model_dump(mode="json", exclude_unset=True) for name, key in known.items()}
        before = dict(keys)
        change(keys)
        parse(KeysFile, {"keys": keys}, file)
        if not place.is_dir():
            _write(place, {"keys": keys})
            return
        files = {key_name(file): file for file in key_files(place)}
        for name, facts in keys.items():
            if facts != before.get(name) or name not in before or known[name].hash != facts["hash"]:
                _write(files.get(name, place / f"{name}.yaml"), facts)
        for name in before.keys() - keys.keys():
            files[name].unlink()


def _write(place: Path, content: dict[str, Any]) -> None:
    """Write a file that only its owner can read, in one step; where that fails nothing is left of it."""
    descriptor, name = tempfile.mkstemp(prefix=".", dir=place.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
