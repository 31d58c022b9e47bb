"""`neverblank deploy` returns when every router serves what Serve calls ready."""

from typing import Any

import pytest

from deployments.cli.http_client import NotAllowedError, UnreachableError
from deployments.cli.router_agreement import NotServedError, wait_for_routers
from deployments.ray_serve.dashboard import routers_of


def replica(name: str, state: str = "RUNNING") -> dict[str, Any]:
    """One on a node of its own, where its process has the id that the others have on theirs."""
    return {"state": state, "pid": 7, "replica_id": name}


DETAILS = {
    "applications": {
        "neverblank": {
            "deployments": {
                "Router": {"replicas": [replica("r1"), replica("r2"), replica("r3", "STARTING")]},
                "Backup": {"replicas": [replica("b")]},
            }
        },
        "m": {"deployments": {"Model": {"replicas": [replica("m")]}}},
    }
}


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def told(router: str, **states: str) -> dict[str, Any]:
    models = {name: {"state": state} for name, state in states.items()}
    return {"routers": [{"router": 7, "replica": router, "models": models}]}


def told_by_all(*routers: dict[str, Any]) -> dict[str, Any]:
    return {"routers": [each for router in routers for each in router["routers"]]}


def wait(answers: list[Any], until: float = 60.0, details: Any = DETAILS) -> tuple[str, int]:
    """What comes of it, and how many answers were read; the last one repeats."""
    time = Time()
    read: list[Any] = []

    def ask(_: str) -> Any:
        read.append(answers[min(len(read), len(answers) - 1)])
        if isinstance(read[-1], Exception):
            raise read[-1]
        return read[-1]

    trouble = wait_for_routers(lambda: details, ["m"], "http://x", until, clock=time.clock, sleep=time.sleep, ask=ask)
    return trouble, len(read)


def test_the_routers_are_those_that_serve_says_run() -> None:
    assert routers_of(DETAILS) == {"r1", "r2"}


def test_it_is_over_when_each_router_has_said_that_it_serves_the_models() -> None:
    answers = [
        told("r1"),
        told("r1", m="loading"),
        told("r1", m="ready"),
        told("r1", m="ready"),
        told("r2"),
        told("r2", m="ready"),
    ]

    assert wait(answers) == ("", 6)


def test_one_look_is_enough_where_all_routers_serve_them() -> None:
    both = told_by_all(told("r1", m="ready"), told("r2", m="idle"))

    assert wait([told_by_all(told("r1", m="ready"), told("r2", m="loading")), both]) == ("", 2)


def test_where_nothing_routes_nobody_is_asked() -> None:
    assert wait([told("r1")], details={"applications": {}}) == ("", 0)


def test_a_router_that_never_serves_them_is_an_error_when_the_time_is_over() -> None:
    with pytest.raises(NotServedError, match="1 of 2 routers do not serve them yet"):
        wait([told("r1", m="ready"), told("r2", m="loading")], until=5.0)


def test_what_another_service_answers_there_is_no_word_of_these_routers() -> None:
    trouble, _ = wait([told("another", m="loading")], until=5.0)

    assert trouble == "no router could be asked whether it serves them: another service answers there"


def test_that_a_key_is_needed_is_told_and_the_routers_are_none_that_do_not_serve() -> None:
    error = {"field": "authorization", "message": "is missing", "accepted": "a key"}

    trouble, _ = wait([NotAllowedError("/status", {"error": error})])

    assert trouble.endswith("set NEVERBLANK_KEY")


def test_a_service_that_cannot_be_reached_from_here_is_told_soon() -> None:
    trouble, asked = wait([UnreachableError("http://x", OSError("refused"))])

    assert trouble.startswith("no router could be asked whether it serves them: no service answers at http://x")
    assert asked < 120
