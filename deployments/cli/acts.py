"""`neverblank breaker`, `drain` and `shift`: what an operator does by hand, in all routers."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from deployments.cli.http_client import post_json
from deployments.cli.options import Url
from deployments.request.acts import ActKind

_Model = Annotated[str, typer.Argument(help="The model.")]
_Undo = Annotated[bool, typer.Option("--undo", help="Take it back: the model is asked again.")]
_Share = Annotated[float, typer.Argument(min=0, max=1, help="The share, from 0 to 1; 0 ends it.")]

_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


class BreakerAct(StrEnum):
    """What is done to a breaker."""

    HOLD = "hold"
    RESET = "reset"
    RELEASE = "release"


def breaker(
    model: _Model,
    act: Annotated[BreakerAct, typer.Argument(help="hold: keep it open; reset: close it; release: end a hold.")],
    url: Url,
) -> None:
    """Hold the breaker of a model open, reset it, or release it. Exit code 1: not done, and the reason is printed."""
    _do(url, {"act": act.value, "model": model})


def drain(model: _Model, url: Url, *, undo: _Undo = False) -> None:
    """Ask a model nothing new; what is under way goes on. Exit code 1: not done, and the reason is printed."""
    _do(url, {"act": (ActKind.RELEASE if undo else ActKind.DRAIN).value, "model": model})


def shift(share: _Share, url: Url) -> None:
    """Have a share of the requests begin with the backup. Exit code 1: not done, and the reason is printed."""
    _do(url, {"act": ActKind.SHIFT.value, "share": share})


def _do(url: str, body: dict[str, Any]) -> None:
    told = asyncio.run(post_json(url, "/admin/acts", body))
    if error := told.get("error"):
        _errors.print(f"neverblank: {error['field']} {error['message']}; accepted: {error['accepted']}", style="red")
        raise typer.Exit(1)
    typer.echo(f"done in {told['routers']} routers")
    for router, reason in told["unheard"].items():
        _errors.print(f"router {router} hears of it later: {reason}")
