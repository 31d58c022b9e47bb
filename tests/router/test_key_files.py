"""Keys in force: what is charged and told of them, files that change, and ports without any."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from deployments.access import gate
from deployments.execution.attempt import begin
from deployments.http.asgi import build_asgi
from deployments.observability import log
from deployments.policy.outcome import Answered, Failed, StreamItem
from deployments.router.router import Router
from deployments.settings import PolicySettings, SettingsError
from tests.access.keys import write_keys
from tests.http.wire import CHAT, MESSAGES, events
from tests.router.locked import Lock
from tests.router.test_spaces import Scripted
from tests.serving import FakeCluster


async def test_what_is_left_is_told_in_the_headers_that_clients_know(lock: Lock) -> None:
    locked = lock({"k": {"requests_per_minute": 60, "tokens_per_minute": 10_000}})

    openai = (await locked.ask(path="/v1/chat/completions", model="b", **dict[str, Any](CHAT))).headers
    anthropic = (await locked.ask(path="/v1/messages", model="b", **MESSAGES)).headers

    assert (openai["x-ratelimit-limit-requests"], openai["x-ratelimit-remaining-requests"]) == ("60", "59")
    assert (openai["x-ratelimit-limit-tokens"], openai["x-ratelimit-remaining-tokens"]) == ("10000", "9970")
    assert openai["x-ratelimit-reset-requests"].endswith("s")
    assert anthropic["anthropic-ratelimit-requests-remaining"] == "58"
    assert anthropic["anthropic-ratelimit-tokens-reset"].endswith("Z")


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/v1/chat/completions", CHAT, "x-ratelimit-remaining-requests"),
        ("/v1/messages", MESSAGES, "anthropic-ratelimit-requests-remaining"),
    ],
)
async def test_what_is_left_is_told_with_refusals_too_whether_their_bodies_were_read_or_not(
    lock: Lock, path: str, body: dict[str, Any], name: str
) -> None:
    locked = lock({"k": {"requests_per_minute": 1, "models": ["b"]}})

    forbidden = await locked.ask(path=path, model="a", **body)
    answers = [await locked.ask(path=path, model="b", **body) for _ in range(3)]

    assert [each.status_code for each in (forbidden, *answers)] == [403, 200, 429, 429]
    assert [each.headers[name] for each in (forbidden, *answers)] == ["1", "0", "0", "0"]


async def test_an_answer_is_charged_by_the_counts_of_the_model_that_gave_it_and_a_last_resort_is_free(
    lock: Lock,
) -> None:
    prices = {"b": {"input": 1_000_000, "output": 500_000}}
    locked = lock({"k": {"money_per_day": 1000, "tokens_per_day": 10_000}}, prices=prices)
    await locked.ask(model="b")
    await locked.ask(model="b", stream=True)
    await locked.ask(model="a", tiers=["primary"], fallback=False)

    used = locked.router.describe()["access"]["used"]["k"]

    assert (used["money_per_day"]["used"], used["tokens_per_day"]["used"]) == (40.0, 60.0)


async def test_a_stream_that_a_model_began_and_the_last_resort_ended_is_charged_as_far_as_the_model_wrote_it(
    lock: Lock,
) -> None:
    limits = {"concurrent_requests": 1, "tokens_per_day": 10_000, "money_per_day": 1000}
    locked = lock({"k": limits}, prices={"b": {"output": 1e6}})
    pieces: list[StreamItem] = ["twelve words " * 6, Failed("its stream was cut")]

    async def breaks_off(*_: Any, **__: Any) -> Any:
        async def items() -> AsyncGenerator[StreamItem, None]:
            while pieces:
                yield pieces.pop(0)

        return await begin(items()) if pieces else Failed("it broke")

    model: Any = locked.models["b"]
    model.start = breaks_off
    told = await locked.ask(model="b", stream=True, fallback=False)

    used = {name: limit["used"] for name, limit in locked.router.describe()["access"]["used"]["k"].items()}
    assert "twelve words" in told.text
    assert events(told)[-1][1]["served_by"] == "last_resort"
    assert used == {"concurrent_requests": 0, "tokens_per_day": 21, "money_per_day": 20}


async def test_a_caller_that_leaves_gives_its_place_back_and_pays_for_what_was_begun(lock: Lock) -> None:
    locked = lock({"k": {"concurrent_requests": 1, "tokens_per_day": 10_000}})

    asked = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    locked.models["b"].start = hang  # type: ignore[method-assign]
    asking = asyncio.ensure_future(locked.ask(model="b", text="four letters " * 10, timeout=30))
    await asked.wait()
    assert (await locked.ask(model="b")).status_code == 429
    asking.cancel()
    await asyncio.wait([asking])

    used = locked.router.describe()["access"]["used"]["k"]
    assert (used["concurrent_requests"]["used"], used["tokens_per_day"]["used"]) == (0, 33)


@pytest.mark.looptime
async def test_a_file_of_keys_that_does_not_fit_leaves_the_keys_before_in_force_and_says_so(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(log, "keys_read", lambda count, trouble: told.append((count, trouble)))

    async def at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(gate.asyncio, "to_thread", at_once)  # type: ignore[attr-defined]
    locked = lock({"k": {}, "gone": {}})
    watching = asyncio.ensure_future(locked.router.gate.watch())
    locked.file.write_text("keys: {k: {tokens_per_day: -1}}")
    await asyncio.sleep(3)
    assert (await locked.ask(model="b")).status_code == 200
    assert "tokens_per_day" in locked.router.describe()["access"]["trouble"]
    keys = write_keys(locked.file, other={})
    await asyncio.sleep(3)
    watching.cancel()

    assert (await locked.ask(model="b")).status_code == 401
    locked.keys |= keys
    assert (await locked.ask("other", model="b")).status_code == 200
    assert locked.router.describe()["access"]["trouble"] == ""
    assert [count for count, _ in told] == [2, 2, 1]
    assert ["tokens_per_day" in trouble for _, trouble in told] == [False, True, False]


@pytest.mark.parametrize(("text", "status", "count"), [("keys: {}\n", 401, 0), ("", 200, 1)])
async def test_the_last_key_can_be_revoked_and_a_file_that_is_being_written_ends_none(
    lock: Lock, monkeypatch: pytest.MonkeyPatch, text: str, status: int, count: int
) -> None:
    told: list[int] = []
    monkeypatch.setattr(log, "keys_read", lambda count, _: told.append(count))
    locked = lock({"k": {}})

    locked.file.write_text(text)
    await locked.router.gate._look(str(locked.file))

    assert (await locked.ask(model="b")).status_code == status
    assert (locked.router.gate.is_locked, told) == (True, [1, count])


async def test_a_key_that_names_a_model_nobody_knows_is_told_of_in_the_status(lock: Lock) -> None:
    locked = lock({"k": {"models": ["a", "typo", "b*", "far", "backup"]}})
    await locked.router._registry.refresh()

    assert locked.router.describe()["access"]["unknown_models"] == {"k": ["typo"]}


async def test_a_policy_whose_keys_cannot_be_read_is_refused_and_the_one_before_stays(
    tmp_path: Path, lock: Lock
) -> None:
    locked = lock({"k": {}})

    with pytest.raises(SettingsError, match="cannot be read"):
        locked.router.reconfigure({"access": {"keys": str(tmp_path / "none.yaml")}})

    assert (await locked.ask(model="b")).status_code == 200
    assert (await locked.ask("", model="b")).status_code == 401


@pytest.mark.parametrize(
    ("exposed", "access", "starts"), [(False, {}, True), (True, {}, False), (True, {"open": True}, True)]
)
async def test_a_port_that_others_can_reach_is_locked_or_meant_to_be_open_or_the_router_does_not_start(
    exposed: bool,  # noqa: FBT001 - a parameter of the test
    access: dict[str, Any],
    starts: bool,  # noqa: FBT001 - the same
) -> None:
    cluster, backup = FakeCluster(), Scripted(Answered("x"))
    cluster.exposed = exposed
    of_backup: Any = backup
    router = Router(cluster, of_backup, "backup", PolicySettings().with_overrides({"access": access}, {}))

    if starts:
        await router.check_health()
    else:
        with pytest.raises(RuntimeError, match=r"access\.open"):
            await router.check_health()


async def test_a_key_is_in_no_answer_no_trace_and_no_line(
    lock: Lock, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = lock({"k": {"requests_per_minute": 2}, "free": {}}, log_content=True)
    secrets = [key.rpartition("-")[2] for key in locked.keys.values()]

    def breaks(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    answers = [await locked.ask(model="b", text="")] + [await locked.ask(model="a") for _ in range(3)]
    monkeypatch.setattr(locked.router._answering, "answer", breaks)
    answers.append(await locked.ask("free", model="b"))
    told = capfd.readouterr()

    assert {200, 400, 429} == {answer.status_code for answer in answers}
    for text in (
        told.out,
        told.err,
        str(locked.router.describe()),
        *(f"{each.text}{each.headers}" for each in answers),
    ):
        assert not any(secret in text for secret in secrets)


async def test_a_response_that_one_key_has_kept_is_not_there_for_another(tmp_path: Path, lock: Lock) -> None:
    locked = lock({"k": {}, "other": {}}, responses={"store": f"sqlite:{tmp_path}/r.db"})
    made = (await locked.ask(path="/v1/responses", model="b", input="Hi")).json()["id"]

    seen = [(await locked.ask(key, f"/v1/responses/{made}")).status_code for key in ("other", "k")]
    gone_on = [
        (await locked.ask(key, "/v1/responses", model="b", input="And?", previous_response_id=made)).status_code
        for key in ("other", "k")
    ]

    assert (seen, gone_on) == ([404, 200], [400, 200])


@pytest.mark.parametrize("path", ["/v1/fallbacks", "/status/events", "/admin/acts"])
async def test_what_shows_or_changes_the_service_is_an_administrators(lock: Lock, path: str) -> None:
    locked = lock({"k": {}})
    body = {"body": {"act": "reset", "model": "b"}} if path == "/admin/acts" else {}

    assert (await locked.ask("k", path, **body)).status_code == 403


async def test_a_key_is_charged_what_its_answer_tells_of_itself_with_the_tools_that_its_model_reads(lock: Lock) -> None:
    locked = lock({"k": {"tokens_per_day": 100_000}})
    locked.models["b"].outcome = Answered("from b")
    tool = {"type": "function", "function": {"name": "look", "description": "x" * 4_000}}

    response = await locked.ask(path="/v1/chat/completions", model="b", tools=[tool], **dict[str, Any](CHAT))

    used = locked.router.describe()["access"]["used"]["k"]["tokens_per_day"]["used"]
    assert used == response.json()["usage"]["total_tokens"] > 1_000


async def test_a_request_that_waits_for_what_other_routers_have_counted_counts_as_one_that_arrives(lock: Lock) -> None:
    locked, during = lock({"k": {"requests_per_minute": 60}}), list[tuple[int, int]]()
    accounting = locked.router._accounting

    async def exchange(tables: Any) -> Any:
        during.append((accounting.arriving, accounting.in_flight))
        return [tables]

    locked.router.gate._limiter._exchange = exchange

    assert (await locked.ask(model="b")).status_code == 200
    assert during == [(1, 0)]
    assert (accounting.arriving, accounting.in_flight) == (0, 0)


async def test_an_administrator_who_has_used_up_what_a_key_may_ask_can_still_act(lock: Lock) -> None:
    locked = lock({"k": {"admin": True, "requests_per_minute": 1}})
    asked = [(await locked.ask(model="b")).status_code for _ in range(3)]

    acted = await locked.ask("k", "/admin/acts", act="reset", model="b")

    assert (asked, acted.status_code) == ([200, 429, 429], 200)


async def test_a_service_with_keys_starts_and_refuses_web_sockets(lock: Lock) -> None:
    app, told = build_asgi(lock({"k": {}}).router), list[str]()
    messages = iter(("lifespan.startup", "lifespan.shutdown", "websocket.connect"))

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        told.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    await app({"type": "websocket", "path": "/v1/responses", "headers": []}, receive, send)

    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
