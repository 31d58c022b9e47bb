"""A model behind a server: requests are passed on as they were sent, and every end of the server is an outcome."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from deployments.policy.breaker import Evidence, evidence
from deployments.policy.outcome import Answered, Failed, Finished, Refused
from deployments.replica.replica import SingleReplica, StalledError
from deployments.request.body import Limits
from deployments.request.openai import chat_request, completion_request
from deployments.servers.model import HOLD_S, ServerModel
from deployments.servers.supervision import ServerSupervisor
from tests.clock import until
from tests.fakes import a_request, begun_stream
from tests.servers.standin import a_spec, ask, ask_for_a_stream, served, supervised
from tests.upstream.exchange import TEXT
from tests.upstream.scenarios import CALL

LIMITS = Limits(max_bytes=1 << 20, timeout_s=300.0, max_timeout_s=300.0)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CHAT = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}]}],
    "tools": [TOOL],
    "tool_choice": "required",
    "top_k": 7,
    "reasoning_effort": "low",
    "logprobs": True,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSupervisor]:
    with supervised(a_spec(), tmp_path_factory.mktemp("cache")) as supervisor:
        yield supervisor


@pytest.fixture
async def healthy(running: ServerSupervisor, tmp_path: Path) -> AsyncIterator[ServerModel]:
    async with served(a_spec(), tmp_path, running) as (model, _):
        yield model


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or would be if its parent had looked."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def chat(**body: Any) -> Any:
    return chat_request(json.dumps(body).encode(), LIMITS).requests[0]


async def test_it_answers_whole_and_streamed(healthy: ServerModel) -> None:
    whole = await ask(healthy)
    *texts, end = await ask_for_a_stream(healthy)

    assert isinstance(whole, Answered)
    assert whole.result == TEXT
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 17
    assert len(texts) > 10
    assert "".join(text for text in texts if isinstance(text, str)) == TEXT
    assert isinstance(end, Finished)


async def test_a_text_that_has_begun_is_carried_on_with(healthy: ServerModel) -> None:
    begun = replace(a_request(), prefix="The quick brown")

    answered = await ask(healthy, begun)

    assert isinstance(answered, Answered)
    assert answered.result == TEXT.removeprefix("The quick brown")


async def test_a_request_is_passed_on_as_it_was_sent_and_streamed(tmp_path: Path) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    async with served(a_spec("tells-the-request"), tmp_path) as (model, _):
        answered = await ask(model, chat(**CHAT, response_format=form))

    assert isinstance(answered, Answered)
    got = json.loads(answered.result)
    assert {key: got[key] for key in CHAT} == CHAT
    assert got["response_format"] == form
    assert got["model"] == "tells-the-request"
    assert got["stream"] is True


@pytest.mark.parametrize("more", [{}, {"best_of": 2}])
async def test_a_text_completion_reaches_the_servers_own(tmp_path: Path, more: dict[str, Any]) -> None:
    body = {"prompt": "Once", "echo": True, "logprobs": 1, "suffix": ".", **more}
    async with served(a_spec("tells-the-request"), tmp_path) as (model, _):
        answered = await ask(model, completion_request(json.dumps(body).encode(), LIMITS).requests[0])

    assert isinstance(answered, Answered)
    got = json.loads(answered.result.removeprefix("Once"))
    assert {key: got[key] for key in body} == body
    assert ("stream" in got, "messages" in got) == (not more, False)


async def test_tool_calls_come_back(tmp_path: Path) -> None:
    async with served(a_spec("calls-a-tool"), tmp_path) as (model, _):
        answered = await ask(model, chat(**CHAT))

    assert isinstance(answered, Answered)
    assert answered.tool_calls[0]["function"] == CALL["function"]


async def test_what_was_written_by_the_deadline_is_the_answer(tmp_path: Path) -> None:
    async with served(a_spec("stall-after-3"), tmp_path) as (model, _):
        answered = await ask(model, budget_s=1.0)

    assert isinstance(answered, Answered)
    assert (answered.result, answered.finish_reason) == ("The quick brown", "deadline")


async def test_a_server_that_is_killed_in_mid_stream_is_a_transient_failure_of_its_model_and_started_again(
    tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    async with served(a_spec("stall-after-3"), tmp_path) as (model, supervisor):
        assert supervisor.running is not None
        before = supervisor.running.process.pid
        begun = await begun_stream(model, a_request())
        server = psutil.Process(before).children(recursive=True)[-1]
        server.kill()
        while isinstance(end := await begun.next(), str):
            continue
        await begun.aclose()
        await until(lambda: supervisor.running is None)
        refused = await ask(model)
        told = model.describe()
        await until(lambda: supervisor.running is not None)
        again = await begun_stream(model, a_request())
        await again.aclose()

        assert isinstance(end, Failed)
        assert end.transient
        assert evidence(end) is Evidence.FAILURE
        assert isinstance(refused, Refused)
        assert refused.transient
        assert refused.soon
        assert "has ended (signal 9) and is started again" in refused.reason
        assert told["state"] == "loading"
        assert supervisor.running.process.pid != before
        assert model.describe()["starts"] == 2
    (line,) = [event for event in events if event["event"] == "server_ended"]
    assert (line["model"], line["reason"]) == ("standin", "signal 9")


async def test_a_server_that_has_ended_loads_before_its_supervisor_has_noticed(tmp_path: Path) -> None:
    async with served(a_spec(), tmp_path) as (model, supervisor):
        assert supervisor.running is not None
        guard = psutil.Process(supervisor.running.process.pid)
        server = guard.children(recursive=True)[-1]
        guard.suspend()  # it would tell
        try:
            server.kill()
            await until(lambda: has_ended(server))
            refused = await ask(model)
        finally:
            guard.resume()

    assert isinstance(refused, Refused)
    assert (refused.transient, refused.soon) == (True, True)


async def test_a_request_waits_for_a_server_that_is_started_again(tmp_path: Path) -> None:
    async with served(a_spec(), tmp_path, hold_s=20.0) as (model, supervisor):
        assert supervisor.running is not None
        psutil.Process(supervisor.running.process.pid).children(recursive=True)[-1].kill()
        await until(lambda: supervisor.running is None)
        asking = [asyncio.ensure_future(ask(model, budget_s=100.0)) for _ in range(3)]
        await asyncio.sleep(0)
        assert supervisor.running is None

        outcomes = await asyncio.gather(*asking)

    assert [type(outcome) for outcome in outcomes] == [Answered] * 3


@pytest.mark.looptime
@pytest.mark.parametrize(("budget_s", "held_s"), [(20.0, HOLD_S), (4.0, 1.0)])
async def test_it_waits_for_a_bounded_part_of_its_time_and_is_then_refused(
    tmp_path: Path, budget_s: float, held_s: float
) -> None:
    loop = asyncio.get_running_loop()
    model = ServerModel(a_spec(), ServerSupervisor(a_spec(), tmp_path))  # it was never started
    began = loop.time()

    outcome = await ask(model, budget_s=budget_s)

    assert isinstance(outcome, Refused)
    assert (outcome.transient, outcome.soon) == (True, True)
    assert model.stalled_s() == 0.0
    assert loop.time() - began == pytest.approx(held_s)


async def test_a_server_that_hangs_is_ended_and_started_again_though_each_caller_gives_up(
    tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    async with served(a_spec("silent", stall_seconds=1), tmp_path) as (model, supervisor):
        first = supervisor.running
        while supervisor.running is first:
            asking = asyncio.ensure_future(ask(model))
            await asyncio.wait({asking}, timeout=0.2)
            asking.cancel()
        await until(lambda: supervisor.starts == 2)
    (line,) = [event for event in events if event["event"] == "server_ended"]
    assert line["reason"] == "no sign of life in 1 s, though it was asked"


async def test_a_server_that_is_slow_and_answers_a_probe_is_left_alone(running: ServerSupervisor) -> None:
    with running.silence.waiting():
        running.silence._before_s = 1000.0
        await until(lambda: running.silence.silent_s() < 1000)

    assert running.starts == 1
    assert running.running is not None


async def test_a_server_that_does_not_come_back_fails_the_health_check_of_its_replica(tmp_path: Path) -> None:
    async with served(a_spec("healthy", "--once", str(tmp_path / "started"), stall_seconds=0.5), tmp_path) as (
        model,
        _,
    ):
        replica = SingleReplica("standin", lambda: model, 30.0, 0.5)
        await replica.check_health()
        psutil.Process(model.describe()["process"]).children(recursive=True)[-1].kill()
        await until(lambda: model.stalled_s() > 0.5)

        with pytest.raises(StalledError):
            await replica.check_health()
        described = await replica.describe()
        assert described["state"] == "loading"
        assert "is started again" in described["reason"]
