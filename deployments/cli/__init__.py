"""The `neverblank` command.

May import: access, request, settings, sources, formats, generation and ray_serve.
"""

import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from rich.console import Console

from deployments.cli.acts import breaker, drain, shift
from deployments.cli.ask import ask
from deployments.cli.check import check_files
from deployments.cli.deploy import deploy
from deployments.cli.drill import DrillRefusedError, drill
from deployments.cli.fallbacks import fallbacks
from deployments.cli.http_client import AnswerTooLargeError, RefusedError, UnreachableError
from deployments.cli.init import lay_out
from deployments.cli.key import key_commands
from deployments.cli.serve import run_service
from deployments.cli.status import status
from deployments.cli.weights import pull, snapshot_commands
from deployments.ray_serve.dashboard import ClusterError
from deployments.settings import SettingsError, root
from deployments.sources.errors import SnapshotNotKeptError

_HELP = """The `neverblank` command.

Exit codes: 0 done, 1 it could not be done (the reason is on standard error), 2 wrong usage.
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=_HELP)
_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(installed_version("neverblank"))
        raise typer.Exit


_Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
]


@app.callback()
def _commands(*, version: _Version = False) -> None:
    """With a callback, typer asks for the name of a command even where there is only one."""


@app.command()
def stop(*, orphans: Annotated[bool, typer.Option(help="Only what a dead service has left behind.")] = False) -> None:
    """Stop the service that was started in this project's folder, and nothing else."""
    from deployments.cli.processes import Stopped, stop_orphaned_haproxies, stop_service

    stopped = Stopped(0, 0, stop_orphaned_haproxies()) if orphans else stop_service(root())
    if stopped.services:
        _errors.print(f"stopped the service and {stopped.leftovers} processes that outlived it")
    elif not orphans:
        _errors.print("no service runs in this folder")
    if stopped.haproxies:
        _errors.print(f"ended {stopped.haproxies} HAProxy left behind by a service that has gone")


app.command("init")(lay_out)
app.command("serve")(run_service)
app.command("check")(check_files)
app.command()(pull)
app.add_typer(snapshot_commands, name="snapshot")
app.add_typer(key_commands, name="key")
app.command()(deploy)
app.command()(ask)
app.command()(status)
app.command()(drill)
app.command()(breaker)
app.command()(drain)
app.command()(shift)
app.command()(fallbacks)


_MENDED_BY_THE_USER = (
    *(SettingsError, SnapshotNotKeptError, UnreachableError, RefusedError, AnswerTooLargeError, ClusterError),
    DrillRefusedError,
    OSError,
)


def main() -> None:
    """Run the command; an error that the user can mend is one line on standard error."""
    try:
        app()
    except _MENDED_BY_THE_USER as error:
        _errors.print(f"neverblank: {error}", style="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
