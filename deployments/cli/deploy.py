"""`neverblank deploy`: bring the running service to what a Serve config says.

Serve compares `args`, not the files they name: a spec edited in place would go unnoticed. But every deployment bears
the digest of the files it was made from. An application whose files still have it is submitted as it runs; one whose
files do not, or which has failed, gets a new `digest` among its `args`. So exactly what has changed is replaced.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from deployments.cli.plan import require_valid
from deployments.cli.submission import Progress, progress_of, settled, submission
from deployments.ray_serve.dashboard import Cluster
from deployments.settings import resolve
from deployments.settings.files import cache_folder

Config = Annotated[Path, typer.Argument(help="The Serve config.")]
Address = Annotated[
    str, typer.Option(help="The cluster's dashboard.", envvar="RAY_DASHBOARD_ADDRESS", show_envvar=True)
]
Patience = Annotated[float, typer.Option(help="Seconds to wait for the applications.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what has become of each application as JSON.")]

_INTERVAL_S = 0.5
_errors = Console(stderr=True, highlight=False)


def deploy(
    config: Config = Path("serve_config.yaml"),
    address: Address = "http://127.0.0.1:8265",
    wait: Patience = 1800.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Submit a Serve config to the running cluster and wait for what has changed.

    Models that have changed are loaded beside those that serve, and take over when they are ready. Exit code 1: the
    config is not valid, the cluster cannot be reached, or an application is not ready.
    """
    require_valid(config, Path(cache_folder()))
    cluster = Cluster(address)
    before = cluster.details()
    wanted = submission(yaml.safe_load(resolve(str(config)).read_text(encoding="utf-8")), str(config), before)
    cluster.submit(wanted)
    end = time.monotonic() + wait
    with Live(console=_errors, auto_refresh=False) as live:
        while True:
            now = progress_of(wanted, before, cluster.details())
            live.update(_table(now), refresh=True)
            if settled(now) or time.monotonic() > end:
                break
            time.sleep(_INTERVAL_S)
    if as_json:
        typer.echo(json.dumps([asdict(application) for application in now], indent=2))
    if any(application.state != "ready" for application in now):
        raise typer.Exit(1)


def _table(applications: list[Progress]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("application", "change", "state", "replicas", "why"):
        table.add_column(column)
    for application in applications:
        state = f"[{_COLOURS[application.state]}]{application.state}[/]"
        table.add_row(application.name, application.change, state, application.replicas, application.why)
    return table


_COLOURS: dict[str, Any] = {"ready": "green", "loading": "yellow", "leaving": "yellow", "failed": "red"}
