"""A replica dies under a request: another one of the same model is asked, and where there is none, the next model."""

from typing import Any

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError

from deployments.policy.outcome import Answered, Refused
from deployments.ray_serve.handle import ServeReplicas
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.ray_serve.test_handle import ACTOR, Handle, Response
from tests.serving import READY, FakeCluster, Replica, application

pytestmark = pytest.mark.looptime

DIED = ActorDiedError(ActorDiedErrorContext(actor_id=ACTOR))
ACTORS = [ACTOR.hex(), "another one"]


class Handles(Handle):
    """A handle whose calls have an item of the script each."""

    def __init__(self, *script: Any) -> None:
        super().__init__()
        self.script = list(script)

    def remote(self, *_: Any) -> Response:
        return Response([self.script.pop(0)])


async def ask(replicas: int, first: Any = DIED) -> dict[str, Any]:
    """The answer of a model with so many replicas, the first of which dies under the request, or does as is said."""
    caller: Any = ServeReplicas(Handles(READY, first, Answered("from another replica")), "a")
    backup: Any = Replica()
    cluster = FakeCluster(a=application("a", running=replicas, actors=frozenset(ACTORS[:replicas])))
    cluster.replicas["a"] = caller
    router = Router(cluster, backup, "backup", PolicySettings())
    await router._registry.refresh()
    return await router.infer({"text": "Hi"}, "a")


async def test_where_one_of_several_replicas_dies_the_same_model_is_asked_again() -> None:
    answer = await ask(replicas=2)

    assert (answer["result"], answer["served_by"], answer["degraded"]) == ("from another replica", "primary", False)
    assert [(tried["outcome"], tried["why"]) for tried in answer["attempts"]] == [
        ("failed", "next"),
        ("answered", "retry"),
    ]


@pytest.mark.parametrize(("replicas", "tier"), [(2, "primary"), (1, "backup")])
async def test_where_one_of_several_replicas_has_its_server_started_again_the_same_model_is_asked_again(
    replicas: int, tier: str
) -> None:
    answer = await ask(replicas, Refused("not ready: its server is started again", transient=True, soon=True))

    assert (answer["served_by"], answer["attempts"][0]["outcome"]) == (tier, "refused")
    assert answer["attempts"][1]["why"] == ("retry" if replicas == 2 else "next")


async def test_where_the_only_replica_dies_the_same_model_is_not_asked_again() -> None:
    answer = await ask(replicas=1)

    assert (answer["attempts"][0]["model"], answer["attempts"][0]["outcome"]) == ("a", "failed")
    assert [tried["model"] for tried in answer["attempts"]].count("a") == 1
