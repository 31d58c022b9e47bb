"""`neverblank status`: what is wrong with the running service, then its models, routers and counts.

It fits a terminal of 80 columns: only names and reasons are cut or broken into lines there.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deployments.cli.http_client import fetch_json
from deployments.cli.options import AsJson, Url

_Watch = Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")]

_INTERVAL_S = 1.0


def status(url: Url, *, watch: _Watch = False, as_json: AsJson = False) -> None:
    """Show what all routers know and have done, problems first. Exit code 1: no service could be reached."""
    if as_json:
        typer.echo(json.dumps(_read(url), indent=2))
        return
    console = Console()
    if not watch:
        console.print(render_status(_read(url), console.width))
        return
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(render_status(_read(url), console.width), refresh=True)
                time.sleep(_INTERVAL_S)
        except KeyboardInterrupt:
            return


def _read(url: str) -> dict[str, Any]:
    return asyncio.run(fetch_json(url, "/status"))


def render_status(told: Mapping[str, Any], width: int) -> Group:
    """Return the body of `/status` as it is shown in a terminal of so many columns."""
    parts: list[RenderableType] = [
        _problems(told["problems"]),
        Text(),
        _models(told, width),
        Text(),
        _routers(told, width),
    ]
    answers = ", ".join(f"{tier} {count}" for tier, count in told["answers"].items())
    parts += [Text(), Text(f"answers: {answers}; turned away {told['turned_away']}, abandoned {told['abandoned']}")]
    return Group(*parts)


def _problems(problems: Iterable[Mapping[str, str]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column(overflow="fold")
    for problem in problems:
        colour = _COLOURS[problem["severity"]]
        table.add_row(f"[{colour}]{escape(problem['where'])}[/]", escape(problem["what"]))
    return table if table.row_count else Text("no problems", style="green")


def _models(told: Mapping[str, Any], width: int) -> Table:
    table = _table(width, "model", *_MODEL_COLUMNS)
    troubled = {problem["where"].removeprefix("model ") for problem in told["problems"]}
    for name, facts in sorted(told["models"].items(), key=lambda each: (each[0] not in troubled, each[0])):
        table.add_row(escape(name), *_facts(facts))
    table.add_row("(backup)", *_facts(told["backup"]), style="bold")
    return table


def _facts(facts: Mapping[str, Any]) -> list[str]:
    replicas = facts.get("replicas")
    return [
        _STATES.get(facts["state"], facts["state"]),
        f"{replicas['running']}+{replicas['starting']}" if replicas else "remote",
        facts.get("breaker", ""),
        _shown(facts.get("failure_rate", "")),
        f"{facts['in_flight']}/{facts['limit']}" if "limit" in facts else "",
        _shown(facts.get("p50_s", "")),
        _shown(facts.get("p95_s", "")),
    ]


def _routers(told: Mapping[str, Any], width: int) -> Table:
    table = _table(width, "router", *_ROUTER_COLUMNS)
    for router in told["routers"]:
        counts = (router[key] for key in ("in_flight", "waiting", "turned_away"))
        answers = router["answers"].values()
        table.add_row(router["replica"], *map(str, (*counts, *answers)), _shown(router["discovery_age_s"]))
    for replica in told["unheard"]:
        table.add_row(f"[red]{escape(replica)}[/]", "not heard")
    return table


def _table(width: int, first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=max(_LEAST_NAME, width - _FIGURES_WIDTH))
    for column in others:
        table.add_column(column, justify="left" if column in _WORDS else "right", no_wrap=True)
    return table


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


_MODEL_COLUMNS = ("state", "replicas", "breaker", "failing", "busy", "p50 s", "p95 s")
_ROUTER_COLUMNS = ("busy", "waiting", "turned away", "primary", "backup", "last", "seen s")
_LEAST_NAME = 16
_FIGURES_WIDTH = 58
"""Columns that everything behind a name takes, at the most."""
_WORDS = {"state", "breaker"}
_STATES = {"ready": "[green]ready[/]", "loading": "[yellow]loading[/]", "failed": "[red]failed[/]"}
_COLOURS = {"error": "red", "warning": "yellow"}
