"""Calling an upstream: what is sent, what is kept secret, and that nothing is left behind."""

import asyncio
import json
import socket
import ssl
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trustme

from deployments.policy.attempt import Tier
from deployments.policy.outcome import Answered, Failed, Finished, Refused, TimedOut
from deployments.request import InferenceRequest, Parameters, ResponseFormat
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import Upstream
from tests.fakes import a_request, begun_stream, read_stream
from tests.upstream.calling import call, remote, stream
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

KEY = "sk-do-not-tell-anybody-0123456789"
BEGUN = "The quick brown"


def carrying_on(prefix: str) -> InferenceRequest:
    return InferenceRequest({}, "Say it.", (), "", 30.0, prefix=prefix)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the other end of a socket sets no event
            await asyncio.sleep(0.01)


# --- what is sent -----------------------------------------------------------------------------------


async def test_what_the_caller_set_is_sent_and_nothing_else(faulty: FaultyUpstream) -> None:
    request = InferenceRequest(
        inputs={},
        text="",
        messages=({"role": "user", "content": "plain"},),
        turns=({"role": "user", "content": [{"type": "text", "text": "as it came"}]},),
        model="remote",
        timeout_s=30.0,
        parameters=Parameters(max_tokens=9, temperature=0.0, stop=("\n",), seed=0, logit_bias={"5": -1.0}),
        response_format=ResponseFormat(tools=({"type": "function", "function": {"name": "look"}},), tool_choice="auto"),
        user="somebody",
        tiers=frozenset({Tier.PRIMARY}),
    )

    await call(faulty, "healthy", request)

    assert faulty.requests[-1].body == {
        "model": "healthy",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "as it came"}]}],
        "max_tokens": 9,
        "temperature": 0.0,
        "stop": ["\n"],
        "seed": 0,
        "logit_bias": {"5": -1.0},
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "tool_choice": "auto",
        "user": "somebody",
    }


async def test_a_text_is_sent_as_a_users_turn(faulty: FaultyUpstream) -> None:
    await call(faulty, "healthy", a_request("Say it."))

    assert faulty.requests[-1].body["messages"] == [{"role": "user", "content": "Say it."}]


async def test_a_stream_is_asked_for_with_its_token_counts(faulty: FaultyUpstream) -> None:
    await stream(faulty, "healthy")

    body = faulty.requests[-1].body
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


async def test_the_field_for_the_longest_answer_is_the_specs(faulty: FaultyUpstream) -> None:
    request = InferenceRequest({}, "Hi", (), "", 30.0, Parameters(max_tokens=9))

    await call(faulty, "healthy", request, max_tokens_field="max_completion_tokens")

    assert faulty.requests[-1].body["max_completion_tokens"] == 9
    assert "max_tokens" not in faulty.requests[-1].body


async def test_headers_come_from_the_spec_and_from_the_environment(
    faulty: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("TEST_TENANT", "tenant-7")

    options: dict[str, Any] = {"headers": {"x-team": "blue"}, "header_env": {"x-tenant": "TEST_TENANT"}}
    await call(faulty, "healthy", api_key_env="TEST_KEY", **options)

    headers = faulty.requests[-1].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["x-team"], headers["x-tenant"]) == ("blue", "tenant-7")


# --- carrying on ------------------------------------------------------------------------------------


async def test_a_text_is_carried_on_with_behind_its_last_character(faulty: FaultyUpstream) -> None:
    text, end = await stream(faulty, "healthy", carrying_on(BEGUN))

    assert BEGUN + text == TEXT
    assert isinstance(end, Finished)
    assert faulty.requests[-1].body["messages"][-1] == {"role": "assistant", "content": BEGUN}


async def test_an_upstream_that_repeats_the_end_of_the_text_is_joined_without_it(faulty: FaultyUpstream) -> None:
    text, _ = await stream(faulty, "overlaps", carrying_on(BEGUN))

    assert BEGUN + text == TEXT


async def test_an_upstream_that_starts_over_is_refused(faulty: FaultyUpstream) -> None:
    longer = TEXT[:50]

    assert await stream(faulty, "starts-over", carrying_on(longer)) == (
        "",
        Refused("it starts over instead of carrying on"),
    )


async def test_vllm_is_told_to_carry_on_in_its_own_words(faulty: FaultyUpstream) -> None:
    await stream(faulty, "healthy", carrying_on(BEGUN), prefill="continue")

    body = faulty.requests[-1].body
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


# --- connections ------------------------------------------------------------------------------------


async def test_nobody_listening_is_a_transient_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        spec = RemoteSpec(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1", model="m")
        outcome = await Upstream("remote", spec).start(a_request(), 5.0)

    assert isinstance(outcome, Failed)
    assert outcome.transient


async def test_a_host_that_does_not_exist_is_the_operators(events: list[dict[str, Any]]) -> None:
    upstream = Upstream("remote", RemoteSpec(base_url="http://no-such-host.invalid/v1", model="m"))

    outcome = await upstream.start(a_request(), 5.0)
    await upstream.aclose()

    assert isinstance(outcome, Failed)
    assert not outcome.transient
    assert [event["event"] for event in events] == ["upstream_misconfigured"]


async def test_a_certificate_nobody_vouches_for_is_the_operators(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.issue_cert("127.0.0.1").configure_cert(tls)
    for authority, file in ((ours, tmp_path / "ours.pem"), (theirs, tmp_path / "theirs.pem")):
        authority.cert_pem.write_to_path(str(file))
    faulty = FaultyUpstream()
    await faulty.start(tls=tls)
    url = f"https://127.0.0.1:{faulty.port}/v1"

    refused = await call(faulty, "healthy", base_url=url, tls_ca_file=str(tmp_path / "ours.pem"))
    trusted = await call(faulty, "healthy", base_url=url, tls_ca_file=str(tmp_path / "theirs.pem"))
    await faulty.stop()

    assert isinstance(refused, Failed)
    assert (refused.transient, refused.reason[:3]) == (False, "TLS")
    assert [event["event"] for event in events] == ["upstream_misconfigured"]
    assert isinstance(trusted, Answered)


async def test_a_connection_that_does_not_stand_in_time_has_timed_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:  # the queue is full, so the kernel answers nobody else
            client.setblocking(False)
            client.connect_ex(address)
        spec = RemoteSpec(base_url=f"http://127.0.0.1:{address[1]}/v1", model="m", connect_timeout_seconds=0.2)
        outcome = await Upstream("remote", spec).start(a_request(), 5.0)
        for client in waiting:
            client.close()

    assert isinstance(outcome, TimedOut)


@pytest.mark.parametrize("scenario", ["silent", "head-then-silence", "trickle"])
async def test_a_call_that_is_given_up_closes_its_connection(faulty: FaultyUpstream, scenario: str) -> None:
    async with remote(faulty, scenario) as upstream:
        waiting = asyncio.create_task(upstream.start(a_request(), 30.0))
        await until(lambda: faulty.counts[scenario])

        waiting.cancel()

        await until(lambda: not faulty.open)
        assert waiting.cancelled()


@pytest.mark.parametrize("scenario", ["stall-after-3", "trickle-after-3", "huge"])
async def test_a_stream_that_is_closed_closes_its_connection(faulty: FaultyUpstream, scenario: str) -> None:
    async with remote(faulty, scenario) as upstream:
        begun = await begun_stream(upstream, a_request())

        await begun.aclose()

        await until(lambda: not faulty.open)


async def test_connections_are_used_again(faulty: FaultyUpstream) -> None:
    async with remote(faulty, "healthy") as upstream:
        for _ in range(5):
            assert isinstance(await upstream.start(a_request(), 5.0), Answered)
            assert await read_stream(upstream, a_request())

        assert faulty.open == 1


async def test_a_reader_that_stops_holds_the_upstream_up(faulty: FaultyUpstream) -> None:
    async with (
        remote(faulty, "huge", max_answer_bytes=1 << 30) as upstream,
        aclosing(await begun_stream(upstream, a_request())) as begun,
    ):
        for _ in range(10):
            await begun.next()
        writer = faulty.requests[-1].writer
        # Loopback buffers fill up first; then the upstream cannot send any more.
        await until(lambda: writer.transport.get_write_buffer_size() > 0)


# --- secrets ----------------------------------------------------------------------------------------


async def test_a_key_that_the_upstream_repeats_is_told_to_nobody(
    faulty: FaultyUpstream, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)

    async with remote(faulty, "status-401", api_key_env="TEST_KEY") as upstream:
        outcome = await upstream.start(a_request(), 5.0)
        assert isinstance(outcome, Failed)
        told = json.dumps([outcome.reason, upstream.describe(), events, repr(upstream), repr(upstream.spec)])

    assert "[redacted]" in str(events)
    assert KEY not in told
    assert [event["event"] for event in events] == ["upstream_misconfigured"]


async def test_a_key_that_is_missing_is_named_and_nothing_is_sent(
    faulty: FaultyUpstream, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)

    outcome = await call(faulty, "healthy", api_key_env="TEST_KEY")

    assert outcome == Failed("the router's environment lacks TEST_KEY")
    assert [event["event"] for event in events] == ["upstream_misconfigured"]
    assert faulty.counts == {}


async def test_a_reason_is_one_short_line_whatever_the_upstream_says(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "html")

    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 600
