"""A vector is answered for by a model of its own space, or by nobody: by no text, and by no vector of another space."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from deployments.policy.outcome import Answered, Failed, Outcome
from deployments.router.router import Router
from deployments.settings import PolicySettings
from deployments.settings.offer import Offer
from tests.http.wire import send
from tests.serving import FakeCluster, Replica, application

FALLBACKS = {"small": ["chat", "other", "twin"], "chat": ["small", "backup"], "lonely": ["chat"]}
VECTOR = [0.5, -0.5]
PATH = "/v1/infer"


class Scripted(Replica):
    """Gives one outcome, and counts."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome
        self.calls = 0

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        self.calls += 1
        return self.outcome


class Serving:
    """A router with two models of one space, one of another, one that chats, and the backup."""

    def __init__(self, *, twin: Outcome, running: int = 1, **policy: Any) -> None:
        broken = Failed("it broke")
        outcomes = {
            "small": broken,
            "twin": twin,
            "other": Answered([9.0]),
            "chat": Answered("Hello"),
            "lonely": broken,
        }
        spaces = {"small": "s", "twin": "s", "other": "o", "lonely": "lonely"}
        cluster = FakeCluster(
            **{
                name: application(
                    name,
                    offer=Offer({name: spaces[name]} if name in spaces else {}),
                    running=running if name == "small" else 1,
                )
                for name in outcomes
            }
        )
        self.cluster = cluster
        self.models: dict[str, Any] = {name: Scripted(outcome) for name, outcome in outcomes.items()}
        cluster.replicas.update(self.models)
        self.backup = Scripted(Answered("from the backup"))
        overrides = {"models": {name: {"fallbacks": after} for name, after in FALLBACKS.items()}, **policy}
        self.router = Router(cluster, self.backup, "backup", PolicySettings().with_overrides(overrides, {}))

    async def ask(self, path: str = PATH, **body: Any) -> Any:
        await self.router._registry.refresh()
        return await send(self.router, path, {"timeout": 2, **body})

    def asked(self) -> list[str]:
        return [name for name, model in self.models.items() if model.calls]


def trace(body: Any) -> dict[str, tuple[str, str]]:
    return {attempt["model"]: (attempt["outcome"], attempt["reason"]) for attempt in body["attempts"]}


@pytest.mark.parametrize("running", [1, 0])
async def test_a_model_of_the_same_space_answers_and_the_others_are_not_asked_as_the_trace_says(running: int) -> None:
    serving = Serving(twin=Answered(VECTOR), running=running)

    body = (await serving.ask(model="small", text="x", wait=False)).json()

    assert (body["result"], body["model"], body["degraded"]) == (VECTOR, "twin", True)
    assert serving.asked() == (["small", "twin"] if running else ["twin"])
    assert trace(body)["chat"] == ("refused", "it gives no vectors of the space s")
    assert trace(body)["other"] == ("refused", "its vectors are of the space o, not of s")


async def test_where_nobody_in_the_space_can_answer_it_is_a_503_with_the_reason_and_no_result() -> None:
    serving = Serving(twin=Failed("out of memory"))

    response = await serving.ask(model="small", text="x")

    body = response.json()
    assert (response.status_code, body["error"]["code"], "result" in body) == (503, "vector_unavailable", False)
    assert "out of memory" in body["error"]["message"]
    assert trace(body)["backup"] == ("refused", "it gives no vectors of the space s")
    assert serving.backup.calls == 0
    assert response.headers["x-neverblank-served-by"] == "last_resort"


async def test_a_model_whose_spec_names_no_space_is_answered_for_by_nobody() -> None:
    serving = Serving(twin=Answered(VECTOR))

    response = await serving.ask(model="lonely", text="x")

    assert (response.status_code, serving.asked(), serving.backup.calls) == (503, ["lonely"], 0)


async def test_a_text_is_not_answered_with_a_vector() -> None:
    serving = Serving(twin=Answered(VECTOR))
    serving.models["chat"].outcome = Failed("it broke")

    body = (await serving.ask(model="chat", text="x")).json()

    assert (body["result"], serving.asked()) == ("from the backup", ["chat"])
    assert trace(body)["small"] == ("refused", "it gives vectors, and no text")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"model": "small", "text": "x", "stream": True}, 400, "stream"),
        ({"model": "small", "messages": [{"role": "user", "content": "x"}]}, 400, "messages"),
        ({"model": "chat", "text": "x", "task": "feature-extraction"}, 400, "model"),
        ({"text": "x", "task": "feature-extraction"}, 400, "model"),
        ({"model": "nobody", "text": "x", "task": "feature-extraction"}, 404, "model"),
    ],
)
async def test_a_request_for_vectors_that_nobody_could_ever_answer_is_refused_by_name(
    body: dict[str, Any], status: int, field: str
) -> None:
    serving = Serving(twin=Answered(VECTOR), default_model="chat")

    response = await serving.ask(**body)

    assert (response.status_code, response.json()["error"]["field"]) == (status, field)
    assert (serving.asked(), serving.backup.calls, serving.router.describe()["in_flight"]) == ([], 0, 0)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_openais_texts_are_never_made_of_vectors_that_are_not_there(path: str) -> None:
    serving = Serving(twin=Failed("out of memory"))
    said = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"prompt": "x"}

    response = await serving.ask(path, model="small", **said)

    assert response.status_code == (400 if "chat" in path else 503)
    assert "param" in response.json()["error"]
    assert "choices" not in response.json()


@pytest.mark.parametrize("named", ["body", "path", "task"])
async def test_a_router_that_is_full_turns_a_request_for_vectors_away_with_an_error(named: str) -> None:
    serving = Serving(twin=Answered(VECTOR), admission={"max_in_flight": 1})
    body = {"body": {"model": "small"}, "path": {}, "task": {"task": "feature-extraction", "model": "nobody"}}[named]

    with serving.router.arrival():
        response = await serving.ask(f"{PATH}/small" if named == "path" else PATH, text="x", **body)
        handled = await serving.router.infer({"text": "x", **body}, "small" if named == "path" else "")
        text = await serving.router.infer({"text": "x", "model": "chat"})

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")
    assert response.headers["retry-after"] == "1"
    assert ("result" in handled, handled["error"]["code"]) == (False, "vector_unavailable")
    assert text["result"]
    assert serving.router.describe()["turned_away"] == 3


async def test_a_bug_of_the_routers_own_gives_a_request_for_vectors_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Any:
        raise ZeroDivisionError("a bug of ours")

    serving = Serving(twin=Answered(VECTOR))
    monkeypatch.setattr("deployments.router.answering.run_chain", breaks)

    response = await serving.ask(model="small", text="x")

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")


@pytest.mark.parametrize(
    ("body", "offer"),
    [
        ({"task": "feature-extraction"}, None),
        ({"task": "feature-extraction"}, Offer({"small": "s"})),
        ({}, Offer({"small": "s"})),
    ],
)
async def test_a_model_of_vectors_that_is_not_built_yet_is_not_ready_and_no_text_answers_for_it(
    body: dict[str, Any], offer: Offer | None
) -> None:
    serving = Serving(twin=Failed("out of memory"))
    built = serving.cluster.known["small"]
    serving.cluster.known["small"] = replace(built, built=False, running=0, status="DEPLOYING", offer=offer)

    response = await serving.ask(model="small", text="x", wait=False, **body)

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")
    assert trace(response.json())["small"] == ("refused", "not ready: no replica has started yet")
    assert serving.backup.calls == 0

    serving.models["small"].outcome = Answered(VECTOR)
    asking = asyncio.ensure_future(serving.ask(model="small", text="x", timeout=20, **body))
    await asyncio.sleep(0)
    serving.cluster.known["small"] = built
    while not asking.done():
        await serving.router._registry.refresh()
        await asyncio.sleep(0.01)
    assert asking.result().json()["result"] == VECTOR


async def test_a_request_that_says_it_wants_vectors_waits_for_the_first_look_at_the_models() -> None:
    serving = Serving(twin=Answered(VECTOR))

    body = await serving.router.infer({"text": "x", "task": "feature-extraction", "wait": False}, "small")

    assert (body["error"]["code"], serving.backup.calls) == ("vector_unavailable", 0)
    assert trace(body)["small"] == ("refused", "not ready: this router has not seen the models yet")
