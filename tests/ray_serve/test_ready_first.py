"""Of the replicas of a model that runs servers, those get the requests whose server runs."""

from typing import Any

import pytest

from deployments.ray_serve.handle import ServeReplicas
from deployments.ray_serve.ready_first import ReadyFirstRouter
from tests.ray_serve.test_handle import Handle
from tests.serving import READY

LOADING = {"state": "loading"}


class Running:
    """A replica as Serve's request router has it."""

    def __init__(self, name: str, stats: dict[str, Any]) -> None:
        self.replica_id, self.routing_stats = name, stats


async def chosen(*stats: dict[str, Any]) -> set[str]:
    """The numbers of the replicas that requests may go to."""
    router = object.__new__(ReadyFirstRouter)
    replicas = [Running(str(number), each) for number, each in enumerate(stats)]
    router._replicas = {replica.replica_id: replica for replica in replicas}
    router._replica_id_set = set(router._replicas)
    rounds = [await router.choose_replicas(replicas, None) for _ in range(64)]
    assert all(len(choice) <= 2 for ((*choice,),) in rounds)
    return {replica.replica_id for ((*choice,),) in rounds for replica in choice}


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
    assert await chosen(*stats) == expected


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
