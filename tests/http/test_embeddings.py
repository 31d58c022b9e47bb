"""OpenAI's embeddings over HTTP, with OpenAI's own client: models of our own and remote ones, and nobody's vector."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from httpx2 import ASGITransport, AsyncClient
from openai import AsyncOpenAI

from deployments.formats import load_model
from deployments.http.asgi import build_asgi
from deployments.policy.answer import Answer
from deployments.policy.outcome import Answered, Failed, Outcome, Usage
from deployments.policy.trace_context import TRACEPARENT, TraceContext
from deployments.request import InferenceRequest
from deployments.request.trace_headers import CALLERS_TRACE
from deployments.router.router import Router
from deployments.settings import HuggingFaceSpec, PolicySettings
from deployments.settings.offer import Offer
from tests.formats import bert
from tests.http.service import ScriptedService, an_answer
from tests.http.wire import send
from tests.serving import FakeCluster, Replica, application
from tests.upstream.embeddings import vector_of
from tests.upstream.faulty import FaultyUpstream

VECTOR = [0.5, -0.25]
PATH = "/v1/embeddings"


class Scripted(Replica):
    """Gives one outcome, and keeps what it was asked."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome
        self.requests: list[Any] = []

    async def start(self, request: object, budget_s: float, *, alone: Any = None) -> Outcome:
        self.requests.append(request)
        return self.outcome


class Loaded(Replica):
    """Has a real model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    async def start(self, request: Any, budget_s: float, *, alone: Any = None) -> Outcome:
        answer: Outcome = await self.model.start(request, budget_s)
        return answer


def a_router(own: dict[str, tuple[Any, str]], **policy: Any) -> Router:
    """A router with models of our own, each with its space; `chat` is one that writes."""
    applications = {
        name: application(name, offer=Offer({name: space} if space else {})) for name, (_, space) in own.items()
    }
    cluster = FakeCluster({name: replica for name, (replica, _) in own.items()}, **applications)
    backup: Any = Scripted(Answered("from the backup"))
    return Router(cluster, backup, "backup", PolicySettings().with_overrides(policy, {}))


def remote(faulty: FaultyUpstream, scenario: str, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{faulty.port}/v1"
    return {"base_url": url, "model": scenario, "task": "feature-extraction", "space": "s", **more}


async def client_of(router: Router, *, strict: bool = False) -> AsyncOpenAI:
    await router._registry.refresh()
    return AsyncOpenAI(
        api_key="none",
        base_url="http://test/v1",
        max_retries=0,
        http_client=AsyncClient(transport=ASGITransport(build_asgi(router)), base_url="http://test"),
        _strict_response_validation=strict,
    )


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real model of vectors, whose 16 dimensions may be cut to 8."""
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    source = {"kind": "path", "path": str(bert.folder(tmp_path, "feature-extraction"))}
    fields = {"format": "huggingface", "id": "tiny", "task": "feature-extraction", "sources": [source]}
    more = {"dtype": "float32", "device": "cpu", "embedding": {"dimensions": [8]}}
    return load_model(HuggingFaceSpec.model_validate({**fields, **more}), tmp_path)


async def test_the_client_gets_the_vectors_of_a_model_of_our_own_in_either_encoding(tiny: Any) -> None:
    client = await client_of(a_router({"tiny": (Loaded(tiny), "tiny")}))
    texts = ["the cat", "a mat in paris"]

    packed = await client.embeddings.create(model="tiny", input=texts)  # as base64, which the client asks for itself
    plain = await client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    tokens = await client.embeddings.create(model="tiny", input=[[2, 5, 6, 3], [2, 8, 9, 10, 11, 3]])
    short = await client.embeddings.create(model="tiny", input="the cat", dimensions=8)

    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert [item.index for item in packed.data] == [0, 1]
    assert tokens.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert (packed.model, packed.usage.prompt_tokens, packed.usage.total_tokens) == ("tiny", 10, 10)
    assert len(short.data[0].embedding) == 8
    assert sum(number**2 for number in short.data[0].embedding) == pytest.approx(1.0)
    assert packed.neverblank["served_by"] == "primary"  # type: ignore[attr-defined]


async def test_a_response_of_floats_is_what_the_clients_strict_validation_expects() -> None:
    client = await client_of(a_router({"m": (Scripted(Answered(VECTOR, Usage(3, 0))), "s")}), strict=True)

    answer = await client.embeddings.create(model="m", input="Hi", encoding_format="float")

    assert (answer.data[0].embedding, answer.object) == (VECTOR, "list")


async def test_the_client_gets_the_vectors_of_a_remote_model(faulty: FaultyUpstream) -> None:
    client = await client_of(a_router({}, remotes={"far": remote(faulty, "vectors")}))

    answer = await client.embeddings.create(model="far", input=["one", "two"], user="me")

    assert [item.embedding for item in answer.data] == [vector_of("one"), vector_of("two")]
    assert (answer.model, answer.usage.total_tokens) == ("far", 7)
    assert faulty.requests[-1].body["user"] == "me"


@pytest.mark.parametrize("scenario", ["vectors-one-too-few", "vectors-nan", "status-500"])
async def test_a_remote_model_that_gives_no_proper_vectors_is_answered_for_within_its_space(
    faulty: FaultyUpstream, scenario: str
) -> None:
    twin, chat = Scripted(Answered([VECTOR, VECTOR])), Scripted(Answered("Hello"))
    remotes = {"far": remote(faulty, scenario, fallbacks=["chat", "twin"])}
    client = await client_of(a_router({"twin": (twin, "s"), "chat": (chat, "")}, remotes=remotes))

    answer: Any = await client.embeddings.create(model="far", input=["one", "two"])

    assert ([item.embedding for item in answer.data], answer.model) == ([VECTOR, VECTOR], "twin")
    assert (answer.neverblank["degraded"], chat.requests) == (True, [])


async def test_a_model_of_our_own_is_answered_for_by_a_remote_one_of_its_space(faulty: FaultyUpstream) -> None:
    policy = {"remotes": {"far": remote(faulty, "vectors")}, "models": {"m": {"fallbacks": ["far"]}}}
    client = await client_of(a_router({"m": (Scripted(Failed("it broke")), "s")}, **policy))

    answer = await client.embeddings.create(model="m", input="one")

    assert (answer.data[0].embedding, answer.model) == (vector_of("one"), "far")


@pytest.mark.parametrize("given", [Answered("a text"), Answered([[1.0], [2.0]]), Answered([1.0, 2.0, 3.0])])
async def test_what_is_not_the_vectors_that_were_asked_for_is_nobodys_answer(given: Answered) -> None:
    client = await client_of(a_router({"m": (Scripted(given), "s")}))

    with pytest.raises(openai.InternalServerError) as caught:
        await client.embeddings.create(model="m", input="one", dimensions=2)

    assert (caught.value.status_code, caught.value.code) == (503, "vector_unavailable")
    assert caught.value.response.headers["x-neverblank-served-by"] == "last_resort"


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({"model": "m", "input": ["a", ""]}, 400, "input[1]", None),
        ({"model": "m", "input": "a", "encoding_format": "hex"}, 400, "encoding_format", None),
        ({"model": "m", "input": "a", "stream": True}, 400, "stream", None),
        ({"model": "m", "input": "a", "mood": 1}, 400, "mood", "unsupported_parameter"),
        ({"model": "chat", "input": "a"}, 400, "model", None),
        ({"model": "writes", "input": "a"}, 400, "model", None),
        ({"model": "nobody", "input": "a"}, 404, "model", "model_not_found"),
    ],
)
async def test_what_nobody_could_ever_answer_is_refused_by_name(
    faulty: FaultyUpstream, body: dict[str, Any], status: int, param: str, code: str | None
) -> None:
    writes = {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": "healthy"}
    router = a_router(
        {"m": (Scripted(Answered(VECTOR)), "s"), "chat": (Scripted(Answered("Hello")), "")}, remotes={"writes": writes}
    )
    await router._registry.refresh()

    response = await send(router, PATH, body)

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (status, param, code)
    assert faulty.requests == []


async def test_a_dimension_that_a_model_is_not_trained_for_is_refused_by_name(tiny: Any) -> None:
    client = await client_of(a_router({"tiny": (Loaded(tiny), "tiny")}))

    with pytest.raises(openai.BadRequestError, match="accepted: 8, 16") as caught:
        await client.embeddings.create(model="tiny", input="the cat", dimensions=4)

    assert caught.value.param == "dimensions"


async def test_a_chat_is_not_asked_of_a_remote_model_of_vectors(faulty: FaultyUpstream) -> None:
    router = a_router({}, remotes={"far": remote(faulty, "vectors")})
    await router._registry.refresh()

    response = await send(
        router, "/v1/chat/completions", {"model": "far", "messages": [{"role": "user", "content": "Hi"}]}
    )

    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")


async def test_counts_that_nobody_gave_are_estimated() -> None:
    router = a_router({"m": (Scripted(Answered([VECTOR, VECTOR])), "s")})
    await router._registry.refresh()

    body = (await send(router, PATH, {"model": "m", "input": ["12345678", [1, 2, 3]]})).json()

    assert (body["usage"], body["neverblank"]["usage_estimated"]) == ({"prompt_tokens": 5, "total_tokens": 5}, True)


async def test_a_router_that_is_full_turns_it_away_with_an_error() -> None:
    response = await send(ScriptedService(is_full=True), PATH, {"input": "a"})

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_bug_of_ours_is_an_error_of_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object) -> Any:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(ScriptedService, "answer", breaks)

    response = await send(ScriptedService(), PATH, {"input": "a"})

    assert (response.status_code, response.json()["error"]["code"]) == (503, "vector_unavailable")


@pytest.mark.parametrize(("path", "key"), [(PATH, "data"), ("/v1/infer", "result")])
async def test_others_have_their_turn_while_many_vectors_are_written(path: str, key: str) -> None:
    vectors = [[number / 7 + place for number in range(3000)] for place in range(400)]
    service = ScriptedService(an_answer(vectors))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    beside = asyncio.create_task(others())
    before = turns
    body = {"input": "Hi"} if path == PATH else {"text": "Hi"}
    told = (await send(service, path, body)).json()
    beside.cancel()

    read = [each["embedding"] for each in told[key]] if path == PATH else told[key]
    assert read == vectors
    assert turns - before >= 5


@pytest.mark.parametrize(
    ("path", "asked"), [(PATH, {"input": "x"}), ("/v1/rerank", {"query": "x", "documents": ["y"]})]
)
async def test_a_request_for_vectors_or_scores_goes_on_with_the_trace_that_it_came_with(
    path: str, asked: dict[str, Any]
) -> None:
    came_with: list[TraceContext | None] = []

    class Traced(ScriptedService):
        async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
            came_with.append(CALLERS_TRACE.get())
            return await ScriptedService.answer(self, request, request_id, started)

    trace, span = "a" * 32, "b" * 16
    await send(Traced(an_answer([[0.5]])), path, asked, headers={TRACEPARENT: f"00-{trace}-{span}-01"})

    assert came_with == [TraceContext(trace, span, sampled=True)]
