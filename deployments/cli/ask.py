"""`neverblank ask`: prints an answer in the terminal."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deployments.cli.http_client import KEY_VARIABLE, request_answer, stream_answer
from deployments.cli.options import AsJson, Url

_Text = Annotated[str, typer.Argument(help="What is asked.")]
_Model = Annotated[str, typer.Option(help="The model; without it the service's default.")]
_Timeout = Annotated[float, typer.Option(help="The deadline in seconds; 0 leaves it to the service.")]
_Stream = Annotated[bool, typer.Option("--stream", help="Print the answer as it is written.")]

_OF_THE_KEY = {"authentication", "permission"}
"""The types of the errors that another key would mend."""

_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def ask(
    text: _Text,
    url: Url,
    model: _Model = "",
    timeout: _Timeout = 0.0,
    *,
    streamed: _Stream = False,
    as_json: AsJson = False,
) -> None:
    """Ask the running service; the answer goes to standard output, who gave it to standard error.

    Exit code 1: no service could be reached, or it calls the request malformed.
    """
    body: dict[str, Any] = {"text": text}
    if model:
        body["model"] = model
    if timeout:
        body["timeout"] = timeout
    answer = asyncio.run(_streamed(url, body, quiet=as_json) if streamed else request_answer(url, body))
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif not streamed or "error" in answer:
        typer.echo(answer["result"] if isinstance(answer["result"], str) else json.dumps(answer["result"]))
    if "error" in answer:
        if answer["error"].get("type") in _OF_THE_KEY:
            _errors.print(f"neverblank: the key is read from {KEY_VARIABLE}", style="red")
        raise typer.Exit(1)
    if not as_json:
        _errors.print(_trace(answer), soft_wrap=False)


async def _streamed(url: str, body: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    async for item in stream_answer(url, body):
        if "result" in item:
            answer = item
        elif not quiet:
            typer.echo(item.get("text", ""), nl=False)  # what came beside the text has none
    if not quiet and "error" not in answer:
        typer.echo()
    return answer


def _trace(answer: dict[str, Any]) -> Table:
    table = Table(title=f"{answer['served_by']}: {answer['model']}", title_justify="left", box=None, pad_edge=False)
    for column in ("tier", "model", "why", "outcome", "ms", "reason"):
        table.add_column(column, justify="right" if column == "ms" else "left", style="dim")
    for attempt in answer["attempts"]:
        table.add_row(*(str(attempt[key]) for key in ("tier", "model", "why", "outcome", "ms", "reason")))
    return table
