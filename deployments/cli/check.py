"""`neverblank check`: prints what is wrong with a configuration, and what it would load. Nothing is started."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from deployments.cli.options import DEFAULT_CONFIG, AsJson
from deployments.cli.plan import Exposed, Planned, examine
from deployments.settings import SettingsError
from deployments.settings.files import cache_folder

_Files = Annotated[list[Path] | None, typer.Argument(help="Serve configs and specs; without any, serve_config.yaml.")]

_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def check_files(files: _Files = None, *, as_json: AsJson = False) -> None:
    """Validate Serve configs and specs without starting anything.

    Every error names file, key, what is wrong and what is accepted; a file without one is named, too. Exit code 1:
    there is an error. Of a cluster's config it is told which models the loss of one node may take along with the
    backup. Memory is estimated: the weights, once where replicas share them, and what a replica takes beside them, for
    all replicas under load.
    """
    planned: list[Planned] = []
    faults: list[SettingsError] = []
    exposed: list[Exposed] = []
    sound: list[Path] = []
    for file in files or [DEFAULT_CONFIG]:
        before = len(faults)
        for found in examine(file, Path(cache_folder())):
            if isinstance(found, SettingsError):
                faults.append(found)
            elif isinstance(found, Exposed):
                exposed.append(found)
            else:
                planned.append(found)
        if len(faults) == before:
            sound.append(file)
    for file in sound:
        _errors.print(f"{file}: no fault", style="green")
    for fault in faults:
        _errors.print(str(fault), style="red")
    for warning in exposed:
        _errors.print(str(warning), style="yellow")
    if as_json:
        typer.echo(json.dumps([asdict(plan) for plan in planned], indent=2))
    elif planned:
        Console(markup=False).print(_table(planned))
    if faults:
        raise typer.Exit(1)


def _table(planned: list[Planned]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("model", "format", "source", "size", "memory", "device", "replicas"):
        table.add_column(column, justify="right" if column in {"size", "memory"} else "left", overflow="fold")
    for plan in planned:
        size, memory = ("?" if value is None else decimal(value) for value in (plan.size, plan.memory))
        table.add_row(plan.name, plan.format, plan.source, size, memory, plan.device, plan.replicas)
    return table
