"""`neverblank deploy`: bring the running service to what a Serve config says.

Serve compares `args`, not the files they name: a spec that was edited in place would go unnoticed. So each
application is submitted with the digest of its files, and exactly those whose files have changed restart. `serve run`
knows no digests: the first deployment after it restarts each application once.
"""

import copy
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from deployments.cli.check import require_valid
from deployments.settings import SettingsError, resolve

Config = Annotated[Path, typer.Argument(help="The Serve config.")]
Address = Annotated[
    str, typer.Option(help="The cluster's dashboard.", envvar="RAY_DASHBOARD_ADDRESS", show_envvar=True)
]
Patience = Annotated[float, typer.Option(help="Seconds to wait for the applications.")]

Arguments = Mapping[str, Mapping[str, Any]]
"""The `args` of applications by their names."""

_FILES = ("spec", "policy", "backup")
_SETTLED = {"RUNNING", "DEPLOY_FAILED", "UNHEALTHY", "NOT_STARTED"}
_errors = Console(stderr=True, highlight=False)


class DeployError(Exception):
    """The cluster cannot be reached, or refuses the config."""


def deploy(
    config: Config = Path("serve_config.yaml"),
    address: Address = "http://127.0.0.1:8265",
    wait: Patience = 1800.0,
) -> None:
    """Submit a Serve config to the running cluster and wait for what has changed.

    Exit code 1: the config is not valid, the cluster cannot be reached, or an application has failed.
    """
    require_valid(config)
    submitted = with_digests(yaml.safe_load(resolve(str(config)).read_text(encoding="utf-8")))
    client = _client(address)
    before = arguments_of(_applications(client))
    try:
        client.deploy_applications(submitted)
    except RuntimeError as error:
        raise DeployError(f"the cluster refuses {config}: {error}") from error
    wanted = {application["name"]: application["args"] for application in submitted["applications"]}
    end = time.monotonic() + wait
    with Live(console=_errors, auto_refresh=False) as live:
        while True:
            states = _applications(client)
            live.update(_render(wanted, states, before), refresh=True)
            if _settled(wanted, states) or time.monotonic() > end:
                break
            time.sleep(0.5)
    if any(states.get(name, {}).get("status") != "RUNNING" for name in wanted):
        raise typer.Exit(1)


def with_digests(config: dict[str, Any]) -> dict[str, Any]:
    """`config`, each application's `args` with a digest of the files they name.

    Raises:
        SettingsError: one of the files cannot be read.
    """
    changed = copy.deepcopy(config)
    for application in changed["applications"]:
        arguments = application.setdefault("args", {})
        digest = hashlib.sha256()
        for key in _FILES:
            if path := arguments.get(key):
                digest.update(_read(path))
        arguments["digest"] = digest.hexdigest()[:16]
    return changed


def _read(path: str) -> bytes:
    try:
        return resolve(path).read_bytes()
    except OSError as error:
        raise SettingsError(path, "", f"cannot be read: {error.strerror}", "a file") from error


def _client(address: str) -> Any:
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    try:
        return ServeSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        raise DeployError(f"no cluster answers at {address}: {error}") from error


def _applications(client: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = client.get_serve_details()["applications"]
    return found


def arguments_of(applications: Mapping[str, Mapping[str, Any]]) -> Arguments:
    """The `args` that running applications were deployed with, by their names."""
    return {name: (facts.get("deployed_app_config") or {}).get("args") or {} for name, facts in applications.items()}


def change(name: str, wanted: Arguments, before: Arguments) -> str:
    """What a deployment does to an application: `new`, `changed`, `unchanged` or `removed`.

    Serve restarts an application if its `args` have changed.
    """
    if name not in wanted:
        return "removed"
    if name not in before:
        return "new"
    return "unchanged" if wanted[name] == before[name] else "changed"


def _settled(wanted: Arguments, states: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(states.get(name, {}).get("status") in _SETTLED for name in wanted) and not states.keys() - wanted.keys()


def _render(wanted: Arguments, states: Mapping[str, Mapping[str, Any]], before: Arguments) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("application", "", "status", "why"):
        table.add_column(column)
    for name in sorted({*wanted, *states}):
        facts = states.get(name, {})
        status = facts.get("status", "SUBMITTED")
        message = facts.get("message", "").strip().splitlines()
        table.add_row(name, change(name, wanted, before), status, message[-1] if message else "")
    return table
