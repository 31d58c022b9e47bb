"""`neverblank init`: lays out the files of a project in a folder, so that a service needs no checkout of this one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deployments.cli.layout import lay_out_files

_Folder = Annotated[Path, typer.Argument(help="The folder; it is made where it is missing.")]

_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def lay_out(folder: _Folder = Path()) -> None:
    """Lay out serve_config.yaml, configs/ and an example model in a folder.

    Nothing is overwritten. Exit code 1: a file is there already, and differs.
    """
    laid_out = lay_out_files(folder)
    for file in laid_out.written:
        typer.echo(file)
    if laid_out.kept:
        _errors.print(f"{len(laid_out.kept)} of the files were there, and are the same")
    _errors.print(f"`neverblank serve` in {folder.resolve()} starts the service on 127.0.0.1:8000")
