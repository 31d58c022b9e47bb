"""Several endpoints of one model: load is spread, a bad one is passed over, another one goes before another model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deployments.policy.breaker import BreakerPolicy
from deployments.policy.outcome import Answered, Failed, Outcome, Refused
from deployments.policy.resilience import ResiliencePolicy
from deployments.request import InferenceRequest
from deployments.settings.remotes import EndpointSpec, RemoteSpec
from deployments.upstream import Upstream
from deployments.upstream.endpoints import Endpoints, Try, affinity_key
from tests.fakes import a_request, read_stream
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

POLICY = ResiliencePolicy(breaker=BreakerPolicy(failures=2, open_seconds=60, open_max_seconds=60))
BROKEN = Failed("it broke", transient=True)


def endpoints(*weights: float, affinity: Any = "none") -> Endpoints:
    places = tuple(EndpointSpec(base_url=f"http://{place}.test/v1", weight=each) for place, each in enumerate(weights))
    made = Endpoints(RemoteSpec(endpoints=places, model="m", affinity=affinity))
    made.policy = POLICY
    return made


class Asked:
    """Answers as it is told to, endpoint by endpoint, and notes who was asked."""

    def __init__(self, outcomes: dict[int, Outcome] | None = None) -> None:
        self.outcomes = outcomes or {}
        self.places: list[int] = []

    async def __call__(self, tried: Try) -> Outcome:
        endpoint = tried.endpoint
        self.places.append(endpoint.place)
        endpoint.connection.in_flight += 1
        await asyncio.sleep(0.01)
        endpoint.connection.in_flight -= 1
        return self.outcomes.get(endpoint.place, Answered("fine"))

    def count(self, place: int) -> int:
        return self.places.count(place)


pytestmark = pytest.mark.looptime


async def test_requests_are_spread_by_weight() -> None:
    several, asked = endpoints(1, 3), Asked()

    for _ in range(400):
        await several.ask(asked, "")
    one_by_one = asked.count(0)
    await asyncio.gather(*(several.ask(asked, "") for _ in range(400)))

    assert 50 < one_by_one < 150
    assert asked.count(0) - one_by_one == pytest.approx(100, abs=20)


async def test_of_two_endpoints_the_one_with_less_load_is_asked() -> None:
    several, asked = endpoints(1, 1), Asked()
    several.all[0].connection.in_flight = 10

    for _ in range(20):
        await several.ask(asked, "")

    assert asked.count(0) == 0


async def test_an_endpoint_that_fails_is_followed_by_another_one_in_the_same_attempt() -> None:
    several, asked = endpoints(1, 1, 1), Asked({0: BROKEN, 1: BROKEN})

    for _ in range(6):
        assert await several.ask(asked, "") == Answered("fine")


async def test_an_endpoint_that_keeps_failing_is_not_asked_any_more() -> None:
    several, asked = endpoints(1, 1), Asked({0: BROKEN})

    for _ in range(50):
        await several.ask(asked, "")

    assert asked.count(0) == POLICY.breaker.failures
    assert several.all[0].to_json()["breaker"] == "open"


async def test_an_endpoint_that_asks_for_a_pause_is_passed_over_and_opens_no_breaker() -> None:
    several, asked = endpoints(1, 1), Asked({0: Refused("limited", transient=True, retry_after_s=20.0)})

    for _ in range(50):
        await several.ask(asked, "")
    assert (asked.count(0), several.all[0].to_json()["breaker"]) == (1, "closed")
    await asyncio.sleep(21)
    for _ in range(50):
        await several.ask(asked, "")

    assert asked.count(0) == 2


async def test_where_all_ask_for_a_pause_the_shortest_is_told_and_nobody_is_asked() -> None:
    limited = Refused("limited", transient=True, retry_after_s=20.0)
    several, asked = endpoints(1, 1), Asked({0: limited, 1: limited})
    await several.ask(asked, "")
    await asyncio.sleep(5)

    outcome = await several.ask(asked, "")

    assert isinstance(outcome, Refused)
    assert outcome.retry_after_s == pytest.approx(15.0, abs=0.1)
    assert len(asked.places) == 2


async def test_where_all_fail_the_attempt_has_failed() -> None:
    several, asked = endpoints(1, 1), Asked({0: BROKEN, 1: BROKEN})

    assert await several.ask(asked, "") == BROKEN
    assert sorted(asked.places) == [0, 1]


async def test_what_is_no_fault_of_an_endpoint_is_not_asked_of_another_one() -> None:
    refused = Refused("it starts over instead of carrying on")
    several, asked = endpoints(1, 1), Asked({0: refused, 1: refused})

    assert await several.ask(asked, "") == refused
    assert len(asked.places) == 1


async def test_attempts_that_are_given_up_early_say_nothing_of_an_endpoint() -> None:
    several = endpoints(1, 1)

    async def ask_one(_: Try) -> Outcome:
        await asyncio.sleep(0.5)
        return Answered("fine")

    await several.ask(ask_one, "")
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await several.ask(ask_one, "")

    assert [endpoint.to_json()["breaker"] for endpoint in several.all] == ["closed", "closed"]


async def test_one_key_goes_to_one_endpoint_and_many_keys_to_all() -> None:
    several, asked = endpoints(1, 1, 1), Asked()

    for _ in range(10):
        await several.ask(asked, "the same")
    assert len(set(asked.places)) == 1
    for place in range(60):
        await several.ask(asked, f"key {place}")

    assert set(asked.places) == {0, 1, 2}


async def test_a_key_yields_to_health_and_comes_back() -> None:
    several, asked = endpoints(1, 1, 1), Asked()
    await several.ask(asked, "key")
    home = asked.places[0]
    asked.outcomes[home] = Refused("limited", transient=True, retry_after_s=10.0)

    await several.ask(asked, "key")
    away = asked.places[-1]
    asked.outcomes.clear()
    await several.ask(asked, "key")
    await asyncio.sleep(11)
    await several.ask(asked, "key")

    assert away != home
    assert asked.places[-2:] == [away, home]


def begun(*contents: str, role: str = "user", **more: Any) -> InferenceRequest:
    """A conversation whose turns are the user's and the assistant's by turns, the first one that of `role`."""
    roles = [role, *(["assistant", "user"] if role == "user" else ["user", "assistant"]) * len(contents)]
    turns = tuple({"role": each, "content": said} for each, said in zip(roles, contents, strict=False))
    return InferenceRequest({}, "", turns, "", 30.0, turns=turns, **more)


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_the_key_of_a_conversation_is_the_same_at_all_of_its_turns(role: str) -> None:
    contents = ("One", "two", "three", "four", "five")
    user = 1 if role == "user" else 2

    keys = {affinity_key(begun(*contents[:size], role=role), "conversation") for size in range(user, 6)}

    assert len(keys) == 1
    assert keys != {affinity_key(begun(*contents[: user - 1], "other", role=role), "conversation"), ""}


def test_conversations_behind_a_long_system_turn_have_keys_of_their_own() -> None:
    told = "Be brief. " * 1000

    first, other = (affinity_key(begun(told, said, role="system"), "conversation") for said in ("Hi", "Hello"))

    assert first != other


def test_the_key_of_a_session_is_what_the_request_says_of_it_and_else_its_user() -> None:
    def key(**told: Any) -> str:
        return affinity_key(begun("Hi", user="somebody", passthrough=told), "session")

    assert key() == key(safety_identifier="s") == key(prompt_cache_key=["no text"]) == "somebody"
    assert (key(prompt_cache_key="p", session_id="s"), key(session_id="s")) == ("p", "s")
    assert affinity_key(begun("Hi", passthrough={"safety_identifier": "s"}), "session") == "s"
    assert affinity_key(begun("Hi", user="somebody"), "none") == ""


@asynccontextmanager
async def two_upstreams() -> AsyncIterator[tuple[FaultyUpstream, FaultyUpstream]]:
    good, bad = FaultyUpstream(), FaultyUpstream()
    await good.start()
    await bad.start()
    yield good, bad
    await good.stop()
    await bad.stop()


@pytest.mark.looptime(False)
async def test_a_server_that_is_gone_costs_no_request_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "key-of-a")
    monkeypatch.setenv("KEY_B", "key-of-b")
    async with two_upstreams() as (good, bad):
        places = [
            {"base_url": f"http://127.0.0.1:{good.port}/v1", "api_key_env": "KEY_A"},
            {"base_url": f"http://127.0.0.1:{bad.port}/v1", "api_key_env": "KEY_B", "weight": 2},
        ]
        upstream = Upstream("remote", RemoteSpec.model_validate({"endpoints": places, "model": "healthy"}))
        for _ in range(10):
            assert await upstream.start(a_request(), 5.0)
        assert {each.headers["authorization"] for each in good.requests} <= {"Bearer key-of-a"}
        assert {each.headers["authorization"] for each in bad.requests} == {"Bearer key-of-b"}
        await bad.stop()
        for _ in range(10):
            assert isinstance(await upstream.start(a_request(), 5.0), Answered)
            assert "".join(str(item) for item in (await read_stream(upstream, a_request()))[:-1]) == TEXT
        told = upstream.describe()
        await upstream.aclose()
        await bad.start(bad.port)

    assert [set(each) for each in told["endpoints"]] == [{"upstream", "breaker", "requests"}] * 2
    assert "key-of" not in str(told)
