"""A remote that leads back here is refused at once, and what chained services ask of each other does not multiply."""

from typing import Any

import httpx
import pytest

from deployments.policy.outcome import Answered, Failed, Outcome
from deployments.request import InferenceRequest
from tests.http.wire import CHAT, send
from tests.router.chained import Service, routers
from tests.router.test_last_resort import a_ready_router


async def post(url: str, model: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{url}/chat/completions", json={**CHAT, "model": model, **more})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_remote_that_leads_straight_back_costs_one_request_and_the_backup_answers(*, stream: bool) -> None:
    async with routers("one") as made:
        router, url = made["one"]
        router.reconfigure({"remotes": {"loop": {"base_url": url, "model": "loop"}}})

        response = await post(url, "loop", stream=stream)

    assert response.status_code == 200
    assert "from the backup" in response.text
    assert response.headers["x-neverblank-attempts"].startswith("primary/loop=refused")
    assert router.asked == 2


async def test_a_request_that_comes_back_by_way_of_another_service_is_refused() -> None:
    async with routers("one", "two") as made:
        (one, here), (two, there) = made["one"], made["two"]
        one.reconfigure({"remotes": {"loop": {"base_url": there, "model": "loop"}}})
        two.reconfigure({"remotes": {"loop": {"base_url": here, "model": "loop"}}})

        response = await post(here, "loop")

    assert response.headers["x-neverblank-served-by"] == "primary", "the other service has a backup"
    assert (one.asked, two.asked) == (2, 1)


@pytest.mark.parametrize("continued", [True, False])
async def test_the_beginning_of_an_answer_is_carried_on_with_by_a_service_behind_this_one(*, continued: bool) -> None:
    class Asked:
        requests: list[InferenceRequest]

        def __init__(self) -> None:
            self.requests = []

        async def start(self, request: InferenceRequest, budget_s: float, *, alone: Any = None) -> Outcome:
            self.requests.append(request)
            return Answered(" and so on")

    behind = Asked()
    begun = [*CHAT["messages"], {"role": "assistant", "content": "It begins"}]
    async with routers("front", "behind", backup=behind) as made:
        (front, here), (_, there) = made["front"], made["behind"]
        front.reconfigure({"remotes": {"next": {"base_url": there, "model": "backup"}}})

        await post(here, "next", messages=begun, **({"continue_final_message": True} if continued else {}))

    (request,) = behind.requests
    assert (request.prefix, len(request.messages)) == (("It begins", 1) if continued else ("", 2))


async def test_two_routers_of_one_service_know_a_request_that_either_has_had() -> None:
    async with routers("one/a", "one/b") as made:
        (first, here), (second, there) = made["one/a"], made["one/b"]
        first.reconfigure({"remotes": {"loop": {"base_url": there, "model": "loop"}}})
        second.reconfigure({"remotes": {"loop": {"base_url": here, "model": "loop"}}})

        await post(here, "loop")

    assert (first.asked, second.asked) == (1, 1)


async def test_a_chain_of_services_that_never_ends_is_cut() -> None:
    names = [f"service-{place}" for place in range(9)]
    async with routers(*names) as made:
        for place, name in enumerate(names):
            _, after = made[names[(place + 1) % len(names)]]
            made[name][0].reconfigure({"remotes": {"loop": {"base_url": after, "model": "loop"}}})

        await post(made["service-0"][1], "loop")

        assert sum(router.asked for router, _ in made.values()) <= 7


async def test_whoever_sends_a_request_round_is_told_by_a_status_and_a_code() -> None:
    router = await a_ready_router()

    headers = {"x-neverblank-via": "elsewhere, this-service"}
    response = await send(router, "/v1/chat/completions", CHAT, headers=headers)

    assert (response.status_code, response.json()["error"]["code"]) == (508, "loop_detected")
    native = await send(router, "/v1/infer", {"text": "Hi"}, headers=headers)
    assert (native.status_code, native.json()["error"]["code"]) == (508, "loop_detected")
    assert native.json()["result"]


async def test_a_forged_list_of_hops_is_told_at_once_or_costs_no_model_its_breaker() -> None:
    async with routers("one", "two") as made:
        (one, here), (two, there) = made["one"], made["two"]
        one.reconfigure({"remotes": {"far": {"base_url": there, "model": "backup"}}})

        async with httpx.AsyncClient(timeout=20) as client:
            for hops in ("a, b, c, d, e", *["a, b, c, two"] * 12):
                headers = {"x-neverblank-via": hops}
                response = await client.post(f"{here}/chat/completions", json={**CHAT, "model": "far"}, headers=headers)
                assert response.status_code == (508 if hops.endswith("e") else 200)
        assert two.asked == 12

        assert (await post(here, "far")).headers["x-neverblank-attempts"] == "primary/far=answered"


class Fails:
    """A backup that is down."""

    def __init__(self) -> None:
        self.requests: list[InferenceRequest] = []

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: object = None) -> Outcome:
        self.requests.append(request)
        return Failed("it is down", transient=True)


async def test_a_chained_service_has_what_is_left_of_the_deadline_and_does_not_retry_or_hedge() -> None:
    backup = Fails()
    async with routers("one", "two", backup=backup) as made:
        (one, here), (_, there) = made["one"], made["two"]
        one.reconfigure({"remotes": {"far": {"base_url": there, "model": "backup"}}, "retries": {"max": 0}})
        await post(here, "far", timeout=4)

    far, *_ = backup.requests
    assert (far.retry, far.hedge, far.via) == (False, False, ("one",))
    assert 0 < far.timeout_s < 4
    assert sum(request.via == ("one",) for request in backup.requests) == 1


async def test_a_deadline_beyond_the_next_services_longest_is_no_mistake_of_the_callers() -> None:
    async with routers("one", "two") as made:
        (one, here), (two, there) = made["one"], made["two"]
        one.reconfigure({"remotes": {"far": {"base_url": there, "model": "backup"}}})
        two.reconfigure({"max_timeout_seconds": 3, "timeout_seconds": 3})

        response = await post(here, "far", timeout=30)

    assert response.headers["x-neverblank-attempts"] == "primary/far=answered"


async def test_the_last_resort_of_a_chained_service_is_no_answer() -> None:
    async with routers("one", "two") as made:
        (one, here), (two, there) = made["one"], made["two"]
        one.reconfigure({"remotes": {"far": {"base_url": there, "model": "nobody"}}})
        two._backup = two._registry.backup.replicas = Fails()  # type: ignore[assignment]

        response = await post(here, "far")

    assert response.headers["x-neverblank-attempts"] == "primary/far=refused, backup/backup=answered"


def test_the_id_of_a_service_is_its_own() -> None:
    assert Service("one").service_id != Service("two").service_id
