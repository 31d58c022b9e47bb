"""The tokenizers of models over HTTP, as vLLM's clients ask them; and whether the service is there."""

from pathlib import Path
from typing import Any

import pytest

from deployments.formats import load_model
from deployments.formats.huggingface import HuggingFaceModel
from deployments.generation.transformers import TransformersGenerator
from deployments.policy.outcome import Failed, Outcome, Refused
from deployments.replica.replica import SingleReplica
from deployments.router.router import Router
from deployments.settings import GenerationDefaults, HuggingFaceSpec, PolicySettings
from tests.formats import bert
from tests.generation.conftest import tiny as tiny  # noqa: PLC0414 - a fixture
from tests.http.service import ScriptedService
from tests.http.wire import send
from tests.serving import FakeCluster, Replica, application

CHAT = [{"role": "user", "content": "hello there"}]


class Replicas(Replica):
    """One replica with a loaded model, or what a call of it gives."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.given = given

    async def tokenize(self, asked: Any) -> Outcome:
        if not isinstance(self.given, SingleReplica):
            given: Outcome = self.given
            return given
        await self.given._load.ended()
        return await self.given.tokenize(asked)


def replica(model: Any) -> SingleReplica:
    return SingleReplica("m", lambda: model, 60.0, 60.0)


async def a_router(models: dict[str, Any], **policy: Any) -> Router:
    applications = {name: application(name) for name in models}
    replicas = {name: Replicas(given) for name, given in models.items()}
    backup: Any = Replicas(Refused("not ready: it loads", soon=True))
    overrides = {"remotes": {"far": {"base_url": "http://127.0.0.1:9/v1", "model": "x"}}, **policy}
    cluster = FakeCluster(replicas, **applications)
    router = Router(cluster, backup, "backup", PolicySettings().with_overrides(overrides, {}))
    await router._registry.refresh()
    return router


class Answers:
    """A model without a tokenizer."""

    def describe(self) -> dict[str, Any]:
        return {}

    def stalled_s(self) -> float:
        return 0.0


@pytest.fixture
async def router(tiny: TransformersGenerator) -> Router:
    writes = HuggingFaceModel(tiny, GenerationDefaults(), {"name": "writes"})
    models = {"writes": replica(writes), "plain": replica(Answers()), "lost": Failed("its replica died")}
    return await a_router(models, default_model="writes")


async def test_a_text_is_told_in_tokens_and_they_in_text(router: Router, tiny: TransformersGenerator) -> None:
    said = (await send(router, "/tokenize", {"model": "writes", "prompt": "hello there"})).json()
    named = (await send(router, "/tokenize", {"prompt": "hello there", "return_token_strs": True})).json()
    text = (await send(router, "/detokenize", {"model": "writes", "tokens": said["tokens"]})).json()

    own = tiny.tokenizer.source
    assert said == {
        "count": len(said["tokens"]),
        "max_model_len": tiny.tokenizer.context,
        "tokens": own("hello there")["input_ids"],
        "token_strs": None,
    }
    assert named["token_strs"] == own.convert_ids_to_tokens(said["tokens"])
    assert text == {"prompt": own.decode(said["tokens"])}


async def test_a_chat_is_told_as_the_model_reads_it(router: Router, tiny: TransformersGenerator) -> None:
    body = {"model": "writes", "messages": CHAT}
    begun = [*CHAT, {"role": "assistant", "content": "Well"}]

    asked = (await send(router, "/tokenize", body)).json()
    ended = (await send(router, "/tokenize", {**body, "add_generation_prompt": False})).json()
    special = (await send(router, "/tokenize", {**body, "add_special_tokens": True})).json()
    going_on = {"messages": begun, "continue_final_message": True}
    continued = (await send(router, "/tokenize", {**body, **going_on})).json()

    own = tiny.tokenizer.source
    shown = own.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)
    assert asked["tokens"] == own(shown, add_special_tokens=False)["input_ids"]
    assert special["tokens"] == own(shown)["input_ids"]
    assert ended["count"] < asked["count"] < continued["count"]


async def test_a_model_of_vectors_has_a_tokenizer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEVERBLANK_MODELS", str(tmp_path))
    source = {"kind": "path", "path": str(bert.folder(tmp_path, "feature-extraction"))}
    fields = {"format": "huggingface", "id": "v", "task": "feature-extraction", "sources": [source], "device": "cpu"}
    router = await a_router({"v": replica(load_model(HuggingFaceSpec.model_validate(fields), tmp_path))})

    said = (await send(router, "/tokenize", {"model": "v", "prompt": "the cat", "return_token_strs": True})).json()
    bare = (await send(router, "/tokenize", {"model": "v", "prompt": "the cat", "add_special_tokens": False})).json()
    text = (await send(router, "/detokenize", {"model": "v", "tokens": [5, 6]})).json()
    chat = await send(router, "/tokenize", {"model": "v", "messages": CHAT})
    unknown = await send(router, "/detokenize", {"model": "v", "tokens": [99]})

    assert (said["tokens"], said["token_strs"]) == ([2, 5, 6, 3], ["[CLS]", "the", "cat", "[SEP]"])
    assert (bare["tokens"], bare["max_model_len"], text) == ([5, 6], 32, {"prompt": "the cat"})
    assert [each.json()["error"]["param"] for each in (chat, unknown)] == ["messages", "tokens"]


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("/tokenize", {"model": "far", "prompt": "a"}, 400, "model", "unsupported_parameter"),
        ("/tokenize", {"model": "plain", "prompt": "a"}, 400, "model", "unsupported_parameter"),
        ("/tokenize", {"model": "nobody", "prompt": "a"}, 404, "model", "model_not_found"),
        ("/tokenize", {"prompt": 5}, 400, "prompt", None),
        ("/detokenize", {"model": "writes", "tokens": [10**9]}, 400, "tokens[0]", None),
        ("/detokenize", {"model": "writes", "tokens": [10**9 - 1]}, 400, "tokens", None),
    ],
)
async def test_what_no_tokenizer_can_answer_is_refused_by_name(
    router: Router, path: str, body: dict[str, Any], status: int, param: str, code: str | None
) -> None:
    response = await send(router, path, body)

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (status, param, code)


@pytest.mark.parametrize("model", ["backup", "lost"])
async def test_a_tokenizer_that_cannot_be_asked_now_is_a_503_and_no_other_is_asked(router: Router, model: str) -> None:
    response = await send(router, "/tokenize", {"model": model, "prompt": "a"})

    assert (response.status_code, response.json()["error"]["code"]) == (503, "tokenizer_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_router_that_is_full_and_a_bug_of_ours_are_errors_of_the_same_form() -> None:
    full = await send(ScriptedService(is_full=True), "/tokenize", {"prompt": "a"})
    broken = await send(ScriptedService(), "/tokenize", {"prompt": "a"})

    for response in (full, broken):
        assert (response.status_code, response.json()["error"]["code"]) == (503, "tokenizer_unavailable")


async def test_the_service_says_that_it_is_there_and_in_which_version() -> None:
    service = ScriptedService(is_failing=True)

    health, version = await send(service, "/health"), await send(service, "/version")

    assert (health.status_code, version.status_code) == (200, 200)
    assert version.json()["version"]
