"""Of the replicas of a model, those get the requests that take them: their server runs, and they answer pings."""

from types import SimpleNamespace
from typing import Any

import pytest

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
