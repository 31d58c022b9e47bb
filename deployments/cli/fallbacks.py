"""`neverblank fallbacks`: the last answers that another model gave than the one asked for, and why."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.cli.http_client import fetch_json
from deployments.cli.options import AsJson, Url

_Since = Annotated[str, typer.Option(help="How long ago (90s, 15m, 2h, 1d), or a time.")]
_Model = Annotated[str, typer.Option(help="It was asked for, or has answered.")]
_Limit = Annotated[int, typer.Option(help="At most this many, the newest of them.")]


def fallbacks(url: Url, since: _Since = "", model: _Model = "", limit: _Limit = 20, *, as_json: AsJson = False) -> None:
    """Show the last fallbacks of all routers, newest first. Exit code 1: no service, or it refuses the query."""
    query = {"since": since, "model": model, "limit": str(limit)}
    path = f"/v1/fallbacks?{urlencode({key: value for key, value in query.items() if value})}"
    told = asyncio.run(fetch_json(url, path))
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    elif "error" in told:
        Console(stderr=True, highlight=False, soft_wrap=True).print(told["error"]["message"], style="red", markup=False)
    else:
        Console().print(_render(told))
    if "error" in told:
        raise typer.Exit(1)


def _render(told: Mapping[str, Any]) -> Table:
    unheard = "".join(f"; router {router} was not heard" for router in told["unheard"])
    table = Table(box=None, pad_edge=False, caption=f"whole since {told['complete_since']}{unheard}")
    table.caption_justify = "left"
    for column in ("time", "asked", "answered", "ms", "why"):
        table.add_column(
            column, justify="right" if column == "ms" else "left", no_wrap=column == "time", overflow="fold"
        )
    for each in told["fallbacks"]:
        time = each["time"].partition("T")[2].partition(".")[0]
        failed = [attempt for attempt in each["attempts"] if attempt["reason"]]
        why = "; ".join(f"{attempt['model']} {attempt['outcome']}: {attempt['reason']}" for attempt in failed)
        table.add_row(time, escape(each["asked"]), escape(each["model"]), f"{each['ms']:.0f}", escape(why))
    return table
