"""`neverblank status`: prints the models, breakers and counts of the running service."""

import asyncio
import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from deployments.cli.http_client import fetch_json
from deployments.cli.options import AsJson, Url

_Watch = Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")]

_INTERVAL_S = 1.0


def status(url: Url, *, watch: _Watch = False, as_json: AsJson = False) -> None:
    """Show what the router that answers knows and has done. Exit code 1: no service could be reached."""
    if as_json:
        typer.echo(json.dumps(_read(url), indent=2))
        return
    console = Console()
    if not watch:
        console.print(_render(_read(url)))
        return
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(_render(_read(url)), refresh=True)
                time.sleep(_INTERVAL_S)
        except KeyboardInterrupt:
            return


def _read(url: str) -> dict[str, Any]:
    return asyncio.run(fetch_json(url, "/status"))


def _render(described: dict[str, Any]) -> Group:
    models = Table(title=f"router {described['router']}", title_justify="left", box=None, pad_edge=False)
    for column in (
        "model",
        "state",
        "replicas",
        "breaker",
        "failures",
        "in flight",
        "limit",
        "p50 s",
        "p95 s",
        "reason",
    ):
        left = column in {"model", "state", "breaker", "reason"}
        # In a narrow terminal only the reasons are broken into lines.
        models.add_column(column, justify="left" if left else "right", no_wrap=column != "reason", overflow="fold")
    for name, facts in described["models"].items():
        models.add_row(name, *_row(facts))
    models.add_row("(backup)", *_row(described["backup"]), style="bold")
    answers = ", ".join(f"{tier} {count}" for tier, count in described["answers"].items())
    return Group(models, f"\nanswers: {answers}; in flight {described['in_flight']}")


def _row(facts: dict[str, Any]) -> list[str]:
    replicas = facts.get("replicas")
    return [
        _STATES.get(facts["state"], facts["state"]),
        f"{replicas['running']}+{replicas['starting']}" if replicas else "remote",
        *(
            _shown(facts.get(key, ""))
            for key in ("breaker", "failure_rate", "in_flight", "limit", "p50_s", "p95_s", "reason")
        ),
    ]


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


_STATES = {"ready": "[green]ready[/]", "loading": "[yellow]loading[/]", "failed": "[red]failed[/]"}
