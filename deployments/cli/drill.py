"""`neverblank drill`: runs rows of the contract against the running service, and prints what was promised and seen."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.cli.drills import Drill, drills
from deployments.cli.http_client import KEY_VARIABLE, request_answer, stream_answer
from deployments.cli.options import AsJson, Url
from deployments.request.injected_faults import FAULT_HEADER

_GRACE_S = 0.5
"""How much later than its deadline an answer may arrive: it has a way of its own."""


class DrillRefusedError(Exception):
    """The service does not take the drill: that breaks no promise."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        told = f"{error['field']} {error['message']} (accepted: {error['accepted']})"
        needs = "drills: {enabled: true} in the policy, then `neverblank deploy`"
        super().__init__(f"{told}; a drill needs {needs}; where there are keys, an administrator's in {KEY_VARIABLE}")


_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

_Model = Annotated[str, typer.Option(help="The model; without it the service's default.")]
_Timeout = Annotated[float, typer.Option(min=1.0, help="The deadline of each request in seconds.")]
_Text = Annotated[str, typer.Option(help="What is asked.")]


def drill(
    url: Url,
    model: _Model = "",
    timeout: _Timeout = 10.0,
    text: _Text = "Count from one to twenty in words.",
    *,
    as_json: AsJson = False,
) -> None:
    """Bring about rows of the contract in the running service, one by one, and show what was promised and seen.

    It takes a minute or two, as some of them last until their deadline.

    The policy has to allow it (`drills.enabled`). Exit code 1: a promise was not kept, or no service that takes
    drills could be reached.
    """
    rows: list[dict[str, Any]] = []
    for number, each in enumerate(planned := drills(), 1):
        _errors.print(f"{number} of {len(planned)}: {each.row}", style="dim")
        rows.append(asyncio.run(_run(each, url, model, timeout, text)))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        Console(highlight=False).print(_table(rows))
    if not all(row["kept"] for row in rows):
        raise typer.Exit(1)


async def _run(each: Drill, url: str, model: str, deadline_s: float, text: str) -> dict[str, Any]:
    body = {"text": text, "timeout": deadline_s, **({"model": model} if model else {})}
    headers = {FAULT_HEADER: each.fault}
    started = time.monotonic()
    answer: dict[str, Any] = {}
    content_s = None
    if each.streamed:
        async for item in stream_answer(url, body, headers):
            if content_s is None and (item.get("text") or "result" in item):
                content_s = time.monotonic() - started
            answer = item
    else:
        answer = await request_answer(url, body, headers)
    if "field" in (error := answer.get("error") or {}):
        raise DrillRefusedError(error)
    seconds = time.monotonic() - started if content_s is None else content_s
    kept = "error" not in answer and "attempts" in answer and each.holds(answer) and seconds <= deadline_s + _GRACE_S
    return {
        "what": each.row,
        "fault": each.fault,
        "promised": each.promised,
        "seen": _seen(answer),
        "seconds": round(seconds, 2),
        "kept": kept,
    }


def _seen(answer: dict[str, Any]) -> str:
    if error := answer.get("error"):
        return f"error {error.get('message', '')}"
    tried = ", ".join(f"{attempt['model']} {attempt['outcome']}" for attempt in answer.get("attempts", ()))
    return f"{answer.get('served_by', 'no answer')}: {tried}"


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("", "what goes wrong", "promised", "seen", "s"):
        table.add_column(column, justify="right" if column == "s" else "left", overflow="fold")
    for row in rows:
        mark = "[green]kept[/]" if row["kept"] else "[red]broken[/]"
        table.add_row(mark, row["what"], row["promised"], escape(row["seen"]), f"{row['seconds']:.2f}")
    return table
