"""A real Redis behind a real service: earlier answers, kept responses, and answers that go on when it is gone."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis_server import needs_redis
from tests.service.own.team import Team
from tests.service.service import eventually

ASKED: dict[str, Any] = {"text": "Who are you?", "tiers": ["primary"], "timeout": 20}
SAID: dict[str, Any] = {"model": "steady", "input": "Hello"}


@pytest.fixture
def drained(team: Team) -> Iterator[Team]:
    """The service with a model that was asked once, and is not asked any more."""
    answer, _ = team.service.ask(ASKED, "steady")
    assert answer["served_by"] == "primary"
    eventually(lambda: any(name.startswith("neverblank:answer:") for name in team.redis.names()), 10)
    team.act(act="drain", model="steady")
    yield team
    team.act(act="release", model="steady")


def test_an_exact_earlier_answer_is_given_before_the_last_resort_by_every_router(drained: Team) -> None:
    for _ in range(6):
        again, _ = drained.service.ask(ASKED, "steady")
        assert (again["result"], again["model"]) == ("paced says: Who are you?", "steady")
        assert (again["served_by"], again["degraded"]) == ("cache", True)

    other, _ = drained.service.ask(ASKED | {"text": "Who is he?"}, "steady")
    declined, _ = drained.service.ask(ASKED, "steady", **{"x-neverblank-cache": "false"})
    assert other["served_by"] == declined["served_by"] == "last_resort"


def test_an_earlier_answer_is_for_the_key_that_got_it(drained: Team) -> None:
    assert drained.send("home", "/v1/infer/steady", ASKED).json()["served_by"] == "last_resort"


@needs_redis
def test_a_kept_response_is_found_by_every_router_and_only_by_its_key(team: Team) -> None:
    kept = team.send("home", "/v1/responses", SAID).json()
    path = f"/v1/responses/{kept['id']}"

    for _ in range(6):
        assert team.send("home", path, method="GET").json()["output"] == kept["output"]
        assert team.send("eu", path, method="GET").status_code == 404

    further = team.send("home", "/v1/responses", SAID | {"previous_response_id": kept["id"]})
    assert (further.status_code, further.json()["previous_response_id"]) == (200, kept["id"])
    assert team.send("home", path, method="DELETE").status_code == 200
    assert team.send("home", path, method="GET").status_code == 404


def test_answers_go_on_while_the_redis_is_gone_and_it_is_used_again_when_it_is_back(drained: Team) -> None:
    team = drained
    kept = team.send("home", "/v1/responses", SAID | {"model": "faulty"}).json()["id"]
    team.redis.stop()
    try:
        started = time.monotonic()
        without, _ = team.service.ask(ASKED, "steady")
        assert (without["served_by"], time.monotonic() - started < 5) == ("last_resort", True)
        answered, _ = team.service.ask(ASKED, "faulty")
        assert answered["served_by"] == "primary"
        assert team.send("home", "/v1/responses", SAID | {"model": "faulty"}).status_code == 200
        assert team.send("home", f"/v1/responses/{kept}", method="GET").status_code == 503
        eventually(lambda: not team.service.status()["cache"]["reachable"], 10)
    finally:
        team.redis.start()

    team.act(act="release", model="steady")
    team.service.ask(ASKED, "steady")
    eventually(lambda: any(name.startswith("neverblank:answer:") for name in team.redis.names()), 10)
    team.act(act="drain", model="steady")
    again, _ = team.service.ask(ASKED, "steady")
    assert again["served_by"] == "cache"
