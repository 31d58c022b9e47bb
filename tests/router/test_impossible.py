"""What no model may ever answer is the caller's to mend, with OpenAI's code; what none can answer now is an outage."""

from typing import Any

import openai
import pytest

from deployments.formats.huggingface import FEATURES
from deployments.policy.outcome import UNKNOWN_MODEL, Answered, Failed, Outcome, Refused, Rejected
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.http.test_openai_client import client_of
from tests.http.wire import send
from tests.serving import OWN, FakeCluster, Replica, application

HELLO: Any = [{"role": "user", "content": "Hi"}]
LONG = Rejected("the prompt has 9000 tokens, of 8192", "messages", "context_length_exceeded", elsewhere=True)
BIASED = Rejected("its engine does not support logit_bias", "logit_bias", "unsupported_parameter", elsewhere=True)
BROKEN = Failed("it broke")
ANSWERED = Answered("An answer")


class Gives(Replica):
    """Replicas that give one outcome."""

    def __init__(self, outcome: Outcome, features: tuple[str, ...] = FEATURES) -> None:
        super().__init__()
        self.outcome = outcome
        self.described = {"state": "ready", "reason": "", "features": features}

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        self.asked += 1
        return self.outcome


async def a_router(model: Outcome, backup: Outcome, features: tuple[str, ...] = FEATURES, **policy: Any) -> Router:
    cluster = FakeCluster(a=application("a"), **{OWN: application(OWN)})
    cluster.replicas["a"] = Gives(model, features)
    router = Router(cluster, Gives(backup, features), "backup", PolicySettings().with_overrides(policy, {}))
    await router._registry.refresh()
    return router


async def ask(router: Router, *, stream: bool = False, **body: Any) -> Any:
    client: Any = client_of(router)  # type: ignore[arg-type]  # a router is what the fake stands for
    answer = await client.chat.completions.create(**{"model": "a", "messages": HELLO, "stream": stream} | body)
    if not stream:
        return answer
    return [chunk async for chunk in answer]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rejected", [LONG, BIASED])
async def test_what_every_model_rejects_is_rejected_with_openais_code(rejected: Rejected, *, stream: bool) -> None:
    router = await a_router(rejected, rejected)

    with pytest.raises(openai.BadRequestError) as caught:
        await ask(router, stream=stream)

    assert (caught.value.code, caught.value.param) == (rejected.code, rejected.field)
    assert rejected.reason in caught.value.message
    breakers = [router._resilience.describe(name)["breaker"] for name in ("a", "backup")]
    assert breakers == [breakers[0]] * 2
    assert "closed" in str(breakers[0])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_does_not_exist_is_not_found_where_no_other_may_answer(*, stream: bool) -> None:
    router = await a_router(ANSWERED, ANSWERED)

    with pytest.raises(openai.NotFoundError) as caught:
        await ask(router, stream=stream, model="nobody", extra_body={"fallback": False})

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    native = await send(router, "/v1/infer/nobody", {"text": "Hi", "fallback": False})
    assert (native.status_code, native.json()["error"]["code"]) == (404, "model_not_found")
    assert native.json()["result"]
    assert (await ask(router, model="nobody")).neverblank["served_by"] == "backup"


class Vanishes(Gives):
    """Is taken out of the cluster as it refuses its first request."""

    cluster: FakeCluster
    router: Router

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        self.cluster.known.pop("a", None)
        await self.router._registry.refresh()
        return await super().start(request, budget_s)


async def test_a_model_that_vanishes_while_a_request_is_under_way_is_an_outage_and_not_the_callers_mistake() -> None:
    cluster = FakeCluster(a=application("a"), **{OWN: application(OWN)})
    cluster.replicas["a"] = vanishing = Vanishes(Refused("busy", transient=True))
    router = Router(cluster, Gives(ANSWERED), "backup", PolicySettings())
    vanishing.cluster, vanishing.router = cluster, router
    await router._registry.refresh()

    response = await send(router, "/v1/infer/a", {"text": "Hi", "fallback": False})

    assert [tried["reason"] for tried in response.json()["attempts"]] == ["busy", UNKNOWN_MODEL]
    assert (response.status_code, response.json()["served_by"]) == (200, "last_resort")
    again = await send(router, "/v1/infer/a", {"text": "Hi", "fallback": False})
    assert again.status_code == 404


async def test_a_model_is_not_called_unknown_before_serve_has_said_which_there_are() -> None:
    router = await a_router(ANSWERED, ANSWERED)
    blind = Router(router._cluster, router._backup, "backup", PolicySettings())
    blind._cluster.trouble = RuntimeError("no controller")  # type: ignore[attr-defined]  # of the fake
    await blind._registry.refresh()

    response = await send(blind, "/v1/infer/a", {"text": "Hi", "fallback": False, "wait": False})

    assert (response.status_code, response.json()["served_by"]) == (200, "last_resort")


async def test_a_request_that_a_model_could_answer_at_another_time_is_no_fault_of_its_caller() -> None:
    router = await a_router(BROKEN, LONG)

    assert (await ask(router)).neverblank["served_by"] == "last_resort"


async def test_a_form_that_nobody_has_is_refused_at_once_by_its_parameter() -> None:
    router = await a_router(ANSWERED, ANSWERED, features=())

    wanted: list[tuple[str, Any]] = [("n", 2), ("logprobs", True)]
    for field, value in wanted:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(router, **{field: value})
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)
    assert router._registry.backup.replicas.asked == 1, "it has described itself, and no more"  # type: ignore[attr-defined]


async def test_what_a_model_of_our_own_has_is_not_listed_as_dropped() -> None:
    router = await a_router(ANSWERED, ANSWERED)

    told = (await ask(router, n=2, logprobs=True)).neverblank

    assert (told["served_by"], told["degraded"]) == ("primary", False)


async def test_a_prompt_of_token_ids_is_asked_only_of_models_that_read_them() -> None:
    able, unable = await a_router(ANSWERED, ANSWERED), await a_router(ANSWERED, ANSWERED, features=())
    body = {"model": "a", "prompt": [5, 6]}

    answered = await send(able, "/v1/completions", body)
    refused = await send(unable, "/v1/completions", body)

    assert answered.json()["choices"][0]["text"] == "An answer"
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")


async def test_a_prompt_that_was_cut_says_how_many_tokens_are_missing() -> None:
    router = await a_router(BROKEN, Answered("An answer", dropped=("prompt_tokens:808",)))

    response = await send(router, "/v1/infer/a", {"text": "Hi"})

    assert response.json()["dropped"] == ["prompt_tokens:808"]
    assert response.headers["x-neverblank-dropped"] == "prompt_tokens:808"


@pytest.mark.parametrize("ignored", [["mood", "image"], ["*"]])
async def test_what_the_policy_names_is_left_out_and_listed_where_no_model_has_it(ignored: list[str]) -> None:
    look: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    router = await a_router(ANSWERED, ANSWERED, ignored_features=ignored)

    answer = await ask(router, messages=look, extra_body={"mood": 5})

    assert (answer.neverblank["served_by"], answer.neverblank["dropped"]) == ("primary", ["image", "mood"])


async def test_what_the_policy_does_not_name_is_refused_by_name() -> None:
    router = await a_router(ANSWERED, ANSWERED, ignored_features=["mood"])

    with pytest.raises(openai.BadRequestError) as caught:
        await ask(router, extra_body={"mood": 5, "temper": 5})

    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "temper")
