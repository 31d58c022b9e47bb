"""`neverblank deploy`: brings the running service to what a Serve config says.

Serve compares `args`, not the files they name: it would not notice a spec that was edited in place. But every
deployment carries the digest of the files it was made from. An application whose files still have that digest is
submitted as it runs. One whose files have changed, or which has failed, gets a new `digest` among its `args`. So an
application is replaced if and only if it has changed.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from deployments.cli.options import DEFAULT_CONFIG, AsJson, Url
from deployments.cli.plan import require_valid
from deployments.cli.router_agreement import NotServedError, wait_for_routers
from deployments.cli.submission import ApplicationProgress, progress_of, settled, submission
from deployments.ray_serve.dashboard import ClusterError, DashboardClient, Details
from deployments.ray_serve.names import DASHBOARD_ADDRESS, DASHBOARD_VARIABLE
from deployments.ray_serve.serve_config import read_serve_config
from deployments.settings.applications import ModelArguments, read_arguments
from deployments.settings.files import cache_folder

_Config = Annotated[Path, typer.Argument(help="The Serve config.")]
_Address = Annotated[str, typer.Option(help="The cluster's dashboard.", envvar=DASHBOARD_VARIABLE, show_envvar=True)]
_Wait = Annotated[float, typer.Option(help="Seconds to wait for the applications.")]

_INTERVAL_S = 0.5
_SILENT_S = 60.0
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def deploy(
    config: _Config = DEFAULT_CONFIG,
    address: _Address = DASHBOARD_ADDRESS,
    wait: _Wait = 1800.0,
    *,
    url: Url,
    as_json: AsJson = False,
) -> None:
    """Submit a Serve config to the running cluster and wait for what has changed.

    Models that have changed are loaded beside those that serve, and take over when they are ready. What is said to be
    ready is served by every router, unless a line says that none could be asked from here. Exit code 1: the config is
    not valid, the cluster cannot be reached, an application is not ready, or a router does not serve it.
    """
    require_valid(config, Path(cache_folder()))
    cluster = DashboardClient(address)
    before = cluster.details()
    wanted = submission(read_serve_config(str(config)), str(config), before)
    cluster.submit(wanted)
    end = time.monotonic() + wait
    with Live(console=_errors, auto_refresh=False) as live:
        while True:
            now = progress_of(wanted, before, _details(cluster, end))
            live.update(_table(now), refresh=True)
            if settled(now) or time.monotonic() > end:
                break
            time.sleep(_INTERVAL_S)
    if not _errors.is_terminal:
        _errors.line()  # to a file the table is written without the end of its last line
    models = [entry.name for entry in now if entry.state == "ready" and entry.name in _models(wanted, str(config))]
    is_served = True
    try:
        if trouble := wait_for_routers(lambda: _details(cluster, end), models, url, end):
            _errors.print(trouble, style="yellow", markup=False)
    except NotServedError as error:
        is_served = False
        _errors.print(error, style="red", markup=False)
    if as_json:
        typer.echo(json.dumps([asdict(application) for application in now], indent=2))
    if not is_served or any(application.state != "ready" for application in now):
        raise typer.Exit(1)


def _details(cluster: DashboardClient, until: float) -> Details:
    """Serve's description, asked for again while the cluster is silent.

    What was submitted goes on without this command, and a head that is started again, or the network between a laptop
    and it, is away for seconds.

    Raises:
        ClusterError: it is still silent after `_SILENT_S`, or at the time `until`.
    """
    end = min(until, time.monotonic() + _SILENT_S)
    while True:
        try:
            return cluster.details()
        except ClusterError:
            if time.monotonic() > end:
                raise
        time.sleep(_INTERVAL_S)


def _models(wanted: dict[str, Any], file: str) -> set[str]:
    """The names of the applications that are one model each."""
    applications = wanted["applications"]
    return {found["name"] for found in applications if isinstance(read_arguments(found, file), ModelArguments)}


def _table(applications: list[ApplicationProgress]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("application", "change", "state", "replicas", "why"):
        table.add_column(column)
    for application in applications:
        state = f"[{_COLOURS[application.state]}]{application.state}[/]"
        table.add_row(
            escape(application.name), application.change, state, application.replicas, escape(application.why)
        )
    return table


_COLOURS: dict[str, Any] = {"ready": "green", "loading": "yellow", "leaving": "yellow", "failed": "red"}
