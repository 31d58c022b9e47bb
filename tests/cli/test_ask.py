"""`neverblank ask` and `neverblank status`: answers for people and for programs, and exit codes for scripts."""

import json
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.access.problems import forbidden
from deployments.cli import http_client
from deployments.observability.fallback_log import FallbackQuery
from deployments.policy.extras import Extras
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.router.service_status import status_of_service
from tests.cli.serving import Done, listening, neverblank
from tests.http.service import ScriptedService, an_answer
from tests.http.wire import BROKEN_OFF

Command = Callable[..., Done]

FACTS = {"state": "ready", "breaker": "closed", "failure_rate": 0.0, "in_flight": 1, "limit": 8, "p50_s": 0.12345}
COUNTS = {
    "answers": {"primary": 7, "backup": 2, "last_resort": 0},
    **dict.fromkeys(("in_flight", "arriving", "waiting", "turned_away", "abandoned", "drills"), 3),
}
REPLICA = "neverblank#Router#"
DESCRIBED = status_of_service(
    {
        "router": 4242,
        "replica": f"{REPLICA}r1",
        "default_model": "smollm2",
        "discovery_age_s": 0.5,
        "models": {
            "smollm2": {**FACTS, "replicas": {"running": 2, "starting": 1}},
            "hosted-in-a-region-that-has-a-long-name": {"state": "failed", "reason": "the environment lacks [ITS_KEY]"},
        },
        "backup": {**FACTS, "replicas": {"running": 1, "starting": 0}},
        "background": {},
        "canary": {"on": True, "sound": True, "asked": 1, "failures_in_a_row": 0, "reason": ""},
        "cache": {"on": False},
        "access": {"keys": None},
        "warnings": [],
        "discovery_trouble": "",
        "responses": {"on": False, "reachable": True, "reason": ""},
        "traces": {"on": False, "reachable": True, "reason": "", "sent": 0, "dropped": 0},
        "interventions": {"holds": {}, "backup_share": 0.0, "changed_at": 0.0},
        **COUNTS,
    },
    [],
    {f"{REPLICA}r2": "no answer within 2 s"},
)
TOLD = {
    "time": "2026-01-31T12:00:00.000Z",
    "request_id": "x",
    "asked": "smollm2",
    "served_by": "backup",
    "model": "backup",
    "ms": 41.7,
    "attempts": [
        {"model": "smollm2", "outcome": "failed", "reason": "ValueError [it broke]"},
        {"model": "backup", "outcome": "answered", "reason": ""},
    ],
}


class Described(ScriptedService):
    """Says of itself what is above."""

    async def status_of_all(self) -> dict[str, Any]:
        return DESCRIBED

    async def fallbacks_of_all(self, query: FallbackQuery) -> dict[str, Any]:
        return {**await super().fallbacks_of_all(query), "fallbacks": [TOLD]}


@pytest.fixture
def service() -> ScriptedService:
    return Described()


@pytest.fixture
def command(
    service: ScriptedService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """The command, with `service` at the default address."""
    with listening(service) as url:
        monkeypatch.setenv("NEVERBLANK_URL", url)
        yield lambda *words: neverblank(capsys, monkeypatch, *words)


def test_an_answer_goes_to_standard_output_and_who_gave_it_to_standard_error(
    service: ScriptedService, command: Command
) -> None:
    service.given = an_answer("It rains.", model="m", attempts=(BROKEN_OFF,))

    done = command("ask", "What is it like outside?", "--model", "m", "--timeout", "7")

    assert (done.code, done.out) == (0, "It rains.\n")
    assert "primary: m" in done.err
    assert "boom" in done.err
    (asked,) = service.asked
    assert (asked.text, asked.model, asked.timeout_s) == ("What is it like outside?", "m", 7.0)


def test_an_answer_that_is_streamed_is_printed_as_it_is_written(command: Command) -> None:
    done = command("ask", "Hi", "--stream")

    assert (done.code, done.out) == (0, "Hello\n")
    assert "primary: m" in done.err


def test_what_comes_beside_a_streamed_text_is_not_printed_with_it(service: ScriptedService, command: Command) -> None:
    service.given = an_answer(extras=Extras(message={"reasoning_content": "hm"}))

    assert command("ask", "Hi", "--stream").out == "Hello\n"


@pytest.mark.parametrize("options", [["--json"], ["--json", "--stream"]])
def test_programs_get_the_whole_answer_as_json_and_nothing_else(command: Command, options: list[str]) -> None:
    done = command("ask", "Hi", *options)

    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["result"] == "Hello"


@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_an_answer_is_read_whole_where_it_is_long_and_not_without_a_bound(
    service: ScriptedService, command: Command, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    service.given = an_answer("long " * 1_000_000)

    assert len(json.loads(command("ask", "Hi", "--json", *options).out)["result"]) == 5_000_000

    monkeypatch.setattr(http_client, "LONGEST_ANSWER", 1 << 20)
    done = command("ask", "Hi", *options)
    assert done.code == 1
    assert "the response is larger than 1048576 bytes" in " ".join(done.err.split())


def test_a_result_that_is_no_text_is_printed_as_json(service: ScriptedService, command: Command) -> None:
    service.given = an_answer({"label": "cat"})

    assert json.loads(command("ask", "Hi").out) == {"label": "cat"}


@pytest.mark.parametrize(("status", "is_told"), [(401, True), (403, True), (400, False)])
def test_who_needs_another_key_is_told_where_it_is_read_from(
    service: ScriptedService, command: Command, status: int, *, is_told: bool
) -> None:
    service.given = Problem("authorization", "is missing", "a valid key", status)

    done = command("ask", "Hi")

    assert done.code == 1
    assert ("NEVERBLANK_KEY" in done.err) is is_told


@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_a_request_that_is_malformed_is_explained_and_ends_with_1(command: Command, options: list[str]) -> None:
    done = command("ask", "Hi", "--timeout=-1", *options)

    assert done.code == 1
    assert "timeout" in done.out


@pytest.mark.parametrize("words", [("ask", "Hi"), ("ask", "Hi", "--stream"), ("status",), ("fallbacks",)])
def test_where_no_service_answers_that_is_said_in_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = neverblank(capsys, monkeypatch, *words, "--url", "http://127.0.0.1:9")

    assert (done.code, done.out) == (1, "")
    assert "no service answers at http://127.0.0.1:9" in " ".join(done.err.split())


@pytest.mark.parametrize("asking", [("status",), ("fallbacks",), ("drain", "m")])
def test_a_service_that_is_silent_is_not_waited_for_for_ever(
    asking: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "_TOLD_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = neverblank(capsys, monkeypatch, *asking, "--url", address)

    assert (done.code, f"no service answers at {address} (" in done.err, "()" in done.err) == (1, True, False)


def test_status_names_every_model_the_backup_and_the_counts(command: Command) -> None:
    done = command("status")

    lines = done.out.splitlines()
    own = next(line.split() for line in lines if line.startswith("smollm2"))
    assert own == ["smollm2", "ready", "2+1", "closed", "0", "1/8", "0.123"]
    assert next(line.split()[1:3] for line in lines if line.startswith("hosted")) == ["failed", "remote"]
    assert any(line.startswith("(backup)") for line in lines)
    assert "answers: primary 7, backup 2, last_resort 0; turned away 3, abandoned 3" in done.out


def test_status_begins_with_what_is_wrong_and_fits_80_columns(command: Command) -> None:
    done = command("status")

    lines = done.out.splitlines()
    told = " ".join(" ".join(lines[: lines.index("")]).split())
    assert f"router {REPLICA}r2 runs, and was not heard: no answer within 2 s" in told
    assert "has failed: the environment lacks [ITS_KEY]" in told
    assert lines[lines.index("") + 2].startswith("hosted"), "a model with a problem is above the others"
    assert max(map(len, lines)) <= 80


def test_fallbacks_are_listed_with_the_reason_of_each(service: ScriptedService, command: Command) -> None:
    done = command("fallbacks", "--since", "15m", "--model", "smollm2", "--limit", "5")

    assert done.code == 0
    assert "12:00:00 smollm2 backup 42 smollm2 failed: ValueError [it broke]" in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 80
    (query,) = service.looked_back
    assert (query.model, query.limit) == ("smollm2", 5)
    assert query.since > 0
    assert json.loads(command("fallbacks", "--json").out)["fallbacks"] == [TOLD]


def test_a_query_for_fallbacks_that_is_refused_is_explained_and_ends_with_1(command: Command) -> None:
    done = command("fallbacks", "--since", "yesterday")

    assert (done.code, done.out) == (1, "")
    assert "since" in done.err


@pytest.mark.parametrize(
    ("words", "refusal", "told"),
    [
        (("status",), forbidden("key", "is none of an administrator", "another"), "NEVERBLANK_KEY"),
        (("fallbacks",), forbidden("key", "is none of an administrator", "another"), "NEVERBLANK_KEY"),
        (("status",), InvalidRequestError(Problem("query", "is one of too many", "a later time", 429)), "too many"),
        (("fallbacks",), ZeroDivisionError(), "has made a mistake"),
    ],
)
def test_why_a_service_tells_nothing_is_said_in_one_line(
    service: ScriptedService,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    refusal: Exception,
    told: str,
) -> None:
    async def refuse(*_: Any) -> Any:
        raise refusal

    monkeypatch.setattr(service, "status_of_all", refuse)
    monkeypatch.setattr(service, "fallbacks_of_all", refuse)

    done = command(*words)

    assert (done.code, done.out) == (1, "")
    assert told in done.err.splitlines()[-1]


def test_status_for_programs_is_what_the_router_says(command: Command) -> None:
    assert json.loads(command("status", "--json").out) == DESCRIBED


def test_status_is_kept_up_to_date_until_ctrl_c(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(import_module("deployments.cli.status"), "time", SimpleNamespace(sleep=pause))

    done = command("status", "--watch")

    assert (done.code, pauses) == (0, [1.0] * 3)
    assert "smollm2" in done.out
