"""Of the replicas of a model, those get the requests that take them: their server runs, and they answer pings."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.request_router import PowerOfTwoChoicesRequestRouter

from deployments.ray_serve.handle import ServeReplicas
from deployments.ray_serve.replica_watch import ReplicaWatch
from deployments.ray_serve.watched_router import WatchedRouter
from tests.ray_serve.test_handle import Handle
from tests.serving import READY

LOADING = {"state": "loading"}


class ActorId(str):
    """The id of an actor, which Ray gives as an object."""

    __slots__ = ()

    def hex(self) -> str:
        return str(self)


class Running:
    """A replica as Serve's request router has it."""

    max_ongoing_requests = 4

    def __init__(self, name: str, stats: dict[str, Any]) -> None:
        self.replica_id, self.routing_stats = name, stats
        self.actor_id, self.multiplexed_model_ids = ActorId(name), {f"model {name}"}


class Mute(ReplicaWatch):
    """A watch that has found some replicas to be unresponsive."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._state.unresponsive = frozenset(names)


async def chosen(*stats: dict[str, Any], mute: tuple[str, ...] = (), model: str = "") -> list[set[str]]:
    """The numbers of the replicas that requests may go to; those that come first, and then the others."""
    router = object.__new__(WatchedRouter)
    router.watch = Mute(*mute)
    replicas = [Running(str(number), each) for number, each in enumerate(stats)]
    router._replicas = {replica.replica_id: replica for replica in replicas}
    router._replica_id_set = set(router._replicas)
    metadata = SimpleNamespace(multiplexed_model_id=model)
    pending: Any = SimpleNamespace(metadata=metadata, routing_context=None) if model else None
    rounds = [await router.choose_replicas(replicas, pending) for _ in range(64)]
    assert all(len(choice) <= 2 for ranks in rounds for choice in ranks)
    return [{replica.replica_id for choice in rank for replica in choice} for rank in zip(*rounds, strict=True)]


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (({}, {}, {}), {"0", "1", "2"}),
        (({}, LOADING, {}), {"0", "2"}),
        ((LOADING, {"state": "ready"}), {"1"}),
        ((LOADING, LOADING), {"0", "1"}),
        (({"hit_rate": 0.5}, {}), {"0", "1"}),
    ],
)
async def test_a_replica_that_says_it_loads_is_passed_over_while_another_one_takes_requests(
    stats: tuple[dict[str, Any], ...], expected: set[str]
) -> None:
    assert await chosen(*stats) == [expected]


@pytest.mark.parametrize(
    ("mute", "expected"), [(("1",), {"0", "2"}), (("0", "2"), {"1"}), (("0", "1", "2"), {"0", "1", "2"})]
)
async def test_a_replica_that_answers_no_ping_is_passed_over_while_another_one_does(
    mute: tuple[str, ...], expected: set[str]
) -> None:
    assert await chosen({}, {}, {}, mute=mute) == [expected]


async def test_of_a_pool_a_replica_that_holds_the_model_comes_first_among_those_that_answer() -> None:
    assert await chosen({}, {}, {}, mute=("0",), model="model 1") == [{"1"}, {"1", "2"}]
    assert await chosen({}, {}, {}, mute=("0",), model="model 0") == [{"1", "2"}]


@pytest.mark.parametrize(
    ("script", "told"),
    [([READY, RuntimeError("died"), LOADING], [READY, LOADING]), ([READY], [READY])],
)
async def test_all_replicas_are_asked_how_they_are(script: list[Any], told: list[Any]) -> None:
    assert await ServeReplicas(Handle(*script), "m").describe_all() == told


async def test_where_they_do_not_all_answer_at_once_one_is_asked() -> None:
    class Slow(Handle):
        """Its replicas do not all answer."""

        async def results_async(self, timeout_s: float, *, return_exceptions: bool = False) -> list[Any]:
            raise TimeoutError

    assert await ServeReplicas(Slow(READY), "m").describe_all() == [READY]


async def sent_to(
    monkeypatch: pytest.MonkeyPatch,
    *known: int | None,
    mute: tuple[str, ...] = (),
    waiting: int = 0,
    model: str = "",
    is_retry: bool = False,
) -> str:
    """The replica of a call, of those that have so many requests as is `known`; `queued` where Serve is to find one."""

    async def queued(*_: Any, **__: Any) -> str:
        return "queued"

    monkeypatch.setattr(PowerOfTwoChoicesRequestRouter, "_choose_replica_for_request", queued)
    router = object.__new__(WatchedRouter)
    router.watch = Mute(*mute)
    router._replicas_list = [Running(str(number), {}) for number in range(len(known))]
    router._replicas = {replica.replica_id: replica for replica in router._replicas_list}
    router._replica_id_set = set(router._replicas)
    router._replica_queue_len_cache = {str(number): length for number, length in enumerate(known)}
    router._pending_requests_to_fulfill = deque(range(waiting))
    router._prefer_local_node_routing = router._prefer_local_az_routing = False
    metadata = SimpleNamespace(multiplexed_model_id=model)
    pending: Any = SimpleNamespace(metadata=metadata, routing_context=SimpleNamespace(should_backoff=False))
    replica = await router._choose_replica_for_request(pending, is_retry=is_retry)
    return str(getattr(replica, "replica_id", replica))


async def test_a_call_goes_at_once_to_the_replica_with_the_fewest_requests_where_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await sent_to(monkeypatch, 0) == "0"
    assert await sent_to(monkeypatch, 3, 1) == "1"
    assert await sent_to(monkeypatch, 2, 3, 1, mute=("0", "2")) == "1"


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ((None,), {}),
        ((0, None), {}),
        ((4,), {}),
        ((4, 0), {}),
        ((), {}),
        ((0,), {"waiting": 1}),
        ((0,), {"is_retry": True}),
        ((0,), {"model": "a member of a pool"}),
    ],
    ids=[
        "not known",
        "one of two not known",
        "full",
        "one of two full",
        "none",
        "others wait",
        "refused once",
        "a pool",
    ],
)
async def test_a_call_waits_as_serve_has_it_where_that_is_not_known_or_others_wait(
    monkeypatch: pytest.MonkeyPatch, known: tuple[int | None, ...], wanted: dict[str, Any]
) -> None:
    assert await sent_to(monkeypatch, *known, **wanted) == "queued"
