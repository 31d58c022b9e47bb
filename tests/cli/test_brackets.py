"""What others have written is shown as they wrote it: to rich, brackets are styles, and a path in brackets an error."""

import io
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from deployments.cli.weights import _Shown
from tests.cli.serving import listening, neverblank
from tests.cli.test_check import config
from tests.cli.test_commands import FakeCluster, pauses
from tests.http.service import ScriptedService, an_answer
from tests.http.wire import BROKEN_OFF

__all__ = ["pauses"]
BRACKETS = "[cpu] of [/srv]"


def test_the_reason_of_an_attempt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    service = ScriptedService()
    failed = BROKEN_OFF.__replace__(outcome=BROKEN_OFF.outcome.__replace__(reason=BRACKETS))
    service.given = an_answer("It rains.", attempts=(failed,))

    with listening(service) as url:
        done = neverblank(capsys, monkeypatch, "ask", "Hi", "--url", url)

    assert BRACKETS in done.err


def test_why_an_act_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any) -> dict[str, Any]:
        return {"error": {"field": "model", "message": "is unknown", "accepted": BRACKETS}}

    monkeypatch.setattr(import_module("deployments.cli.acts"), "post_json", refuse)

    assert BRACKETS in neverblank(capsys, monkeypatch, "drain", "m").err


def test_why_an_application_is_not_ready(
    tmp_path: Path, pauses: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeCluster, "status", "DEPLOY_FAILED")
    monkeypatch.setattr(FakeCluster, "message", BRACKETS)

    done = neverblank(capsys, monkeypatch, "deploy", str(config(tmp_path)))

    assert done.code == 1
    assert BRACKETS in done.err


def test_what_a_drill_has_seen() -> None:
    row = {"kept": False, "what": "it raises", "promised": "another", "seen": BRACKETS, "seconds": 1.0}
    shown = io.StringIO()

    Console(file=shown, width=200).print(import_module("deployments.cli.drill")._table([row]))

    assert BRACKETS in shown.getvalue()


def test_why_weights_cannot_be_had() -> None:
    shown = io.StringIO()
    with Progress(TextColumn("{task.description}"), console=Console(file=shown, width=200)) as progress:
        _Shown(progress, progress.add_task("looking")).tell(BRACKETS, style="red")

    assert BRACKETS in shown.getvalue()
