"""The `neverblank` command.

Exit codes: 0 done, 1 it could not be done (the reason is on standard error), 2 wrong usage.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from deployments.cli.ask import ask
from deployments.cli.check import check
from deployments.cli.deploy import DeployError, deploy
from deployments.cli.service import UnreachableError
from deployments.cli.status import status
from deployments.settings import SettingsError, TextModelSpec, load_backup, load_model, resolve, root
from deployments.sources.errors import NoSourceError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_errors = Console(stderr=True, highlight=False)

ConfigFile = Annotated[Path, typer.Argument(help="The Serve config whose models' weights are fetched.")]


@app.callback()
def _commands() -> None:
    """Make commands of all functions, however many there are."""


@app.command()
def pull(config: ConfigFile = Path("serve_config.yaml")) -> None:
    """Fetch weights and build snapshots ahead of time, so that the first start is a fast one."""
    from deployments.app import cache_folder
    from deployments.sources.snapshots import SnapshotStore

    cache = Path(cache_folder())
    store = SnapshotStore(cache)
    for name, spec in _text_models(config):
        kept = [source.snapshot for source in spec.sources if source.snapshot and store.holds(source)]
        if kept:
            _errors.print(f"{name}: snapshot {kept[0]} is there")
        elif spec.snapshot:
            _errors.print(f"{name}: fetching weights and building a snapshot ...")
            _build(name, spec, cache)


@app.command()
def stop(*, orphans: Annotated[bool, typer.Option(help="Only what a dead service has left behind.")] = False) -> None:
    """Stop the service that was started in this project's folder, and nothing else."""
    from deployments.stop import Stopped, stop_orphaned_haproxies, stop_service

    stopped = Stopped(0, 0, stop_orphaned_haproxies()) if orphans else stop_service(root())
    if stopped.services:
        _errors.print(f"stopped the service and {stopped.leftovers} processes that outlived it")
    elif not orphans:
        _errors.print("no service runs in this folder")
    if stopped.haproxies:
        _errors.print(f"ended {stopped.haproxies} HAProxy left behind by a service that has gone")


app.command()(check)
app.command()(deploy)
app.command()(ask)
app.command()(status)


def _text_models(config: Path) -> list[tuple[str, TextModelSpec]]:
    """The backup and the language models that `config` names, each file once."""
    serve_config = yaml.safe_load(resolve(str(config)).read_text(encoding="utf-8"))
    found: dict[str, TextModelSpec] = {}
    for application in serve_config["applications"]:
        arguments = application.get("args", {})
        if path := arguments.get("backup"):
            found["backup"] = load_backup(path)
        elif path := arguments.get("spec"):
            spec = load_model(path)
            if isinstance(spec, TextModelSpec):
                found[spec.id] = spec
    return list(found.items())


def _build(name: str, spec: TextModelSpec, cache: Path) -> None:
    from deployments.generation.devices import Machine, choose_device, choose_dtype
    from deployments.sources.acquire import acquire
    from deployments.telemetry import SourceEvents

    machine = Machine.here()
    dtype = choose_dtype(spec.dtype, choose_device("auto", machine), machine)
    loaded = acquire(spec, cache, dtype, events=SourceEvents())
    _errors.print(f"{name}: {loaded.name} is ready")


def main() -> None:
    """Run the command; errors of the user's are one line."""
    try:
        app()
    except (SettingsError, NoSourceError, UnreachableError, DeployError, OSError) as error:
        _errors.print(f"neverblank: {error}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
