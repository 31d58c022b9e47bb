"""The rights of a key hold in every tier, whatever fails; what it does not allow is not asked, and is in the trace."""

import asyncio
from typing import Any

import pytest

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.outcome import Failed
from deployments.router.description import Description
from deployments.router.tokenizers import Tokenizers
from tests.http.wire import ENDPOINTS, MESSAGES, events, send
from tests.router.locked import SECRET_REMOTE, Lock
from tests.router.test_spaces import trace


async def test_a_key_for_one_model_does_not_reach_another_by_making_it_fail(lock: Lock) -> None:
    locked = lock({"k": {"models": ["a"], "tiers": ["primary"]}})

    body = (await locked.ask(model="a")).json()

    assert (body["served_by"], locked.models["a"].calls >= 1) == ("last_resort", True)
    assert (locked.models["b"].calls, locked.backup.calls) == (0, 0)
    told = trace(body)
    assert [attempt["model"] for attempt in body["attempts"]].count("b") == 1, "it was no candidate"
    assert told["b"] == told["far"] == ("refused", "beyond the rights of this key: models")
    assert told["backup"] == ("refused", "beyond the rights of this key: tiers")


async def test_the_local_backup_answers_for_a_key_that_names_only_another_model(lock: Lock) -> None:
    locked = lock({"k": {"models": ["a"]}})

    body = (await locked.ask(model="a")).json()

    assert (body["result"], body["model"], locked.models["b"].calls) == ("from the backup", "backup", 0)


@pytest.mark.parametrize(
    ("boundary", "asked"), [("local", set()), (["eu"], {"eu"}), (["us", "eu"], {"eu"}), ("anywhere", {"far", "eu"})]
)
async def test_a_boundary_holds_for_whatever_stands_behind_the_model(
    lock: Lock, boundary: Any, asked: set[str]
) -> None:
    locked = lock({"k": {"boundary": boundary}})

    body = (await locked.ask(model="a")).json()

    told = trace(body)
    reached = {name for name in ("far", "eu") if "beyond the rights" not in told[name][1]}
    assert (body["result"], reached) == ("from b", asked)


async def test_a_local_boundary_holds_for_a_remote_backup_and_for_a_model_that_becomes_remote_meanwhile(
    lock: Lock,
) -> None:
    locked = lock({"k": {"boundary": "local"}}, backup_model="far")
    asked, held = asyncio.Event(), asyncio.Event()
    locked.models["a"].outcome = Failed("it broke")

    async def slow(*_: Any, **__: Any) -> Any:
        asked.set()
        await held.wait()
        return Failed("it broke")

    locked.models["a"].start = slow  # type: ignore[method-assign]
    asking = asyncio.ensure_future(locked.ask(model="a"))
    await asked.wait()
    locked.router.reconfigure({"access": {"keys": str(locked.file)}, "remotes": {"b": SECRET_REMOTE}})
    held.set()
    body = (await asking).json()

    assert body["model"] == "backup"
    assert trace(body)["far"] == trace(body)["b"] == ("refused", "beyond the rights of this key: boundary")


async def test_a_stream_is_held_to_the_same_rights_and_tells_so(lock: Lock) -> None:
    locked = lock({"k": {"models": ["a", "b"]}})

    response = await locked.ask(model="a", stream=True)

    _, done = events(response)[-1]
    assert (done["result"], done["attempts"][0]["reason"]) == ("from b", "beyond the rights of this key: models")
    assert "primary/far=refused, primary/eu=refused, primary/a=failed" in response.headers["x-neverblank-attempts"]


@pytest.mark.parametrize("name", ["b", "far", "backup", "no-such-model"])
async def test_a_model_beyond_the_rights_is_refused_by_name_whether_it_exists_or_not(lock: Lock, name: str) -> None:
    locked = lock({"k": {"models": ["a*"]}})

    response = await locked.ask(model=name)

    assert (response.status_code, response.json()["error"]["code"]) == (403, "permission_denied")
    assert response.json()["error"]["type"] == "permission"


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("status", [401, 403, 429])
async def test_each_refusal_has_the_form_of_each_format(
    lock: Lock, path: str, body: dict[str, Any], status: int
) -> None:
    locked = lock({"k": {"models": ["a", "b"], "requests_per_minute": 1}})
    asked = {**body, "model": "backup" if status == 403 else "b"}
    if status == 429:
        assert (await locked.ask(path=path, **asked)).status_code == 200

    response = await locked.ask("" if status == 401 else "k", path, **asked)

    error = response.json()["error"]
    kind = {401: "authentication", 403: "permission", 429: "rate_limit"}[status]
    assert response.status_code == status
    assert error["type"] == (kind if path == "/v1/infer" else f"{kind}_error")
    assert response.json().get("type") == ("error" if path == "/v1/messages" else None)
    assert (response.headers.get("www-authenticate"), "retry-after" in response.headers) == (
        "Bearer" if status == 401 else None,
        status == 429,
    )


async def test_only_an_administrator_sees_the_status_and_everybody_the_models_of_his_key(lock: Lock) -> None:
    locked = lock({"k": {"models": ["b"]}, "boss": {"admin": True}})

    statuses = [(await locked.ask(key, "/status")).status_code for key in ("", "k", "boss")]
    listed = [model["id"] for model in (await locked.ask("k", "/v1/models")).json()["data"]]

    assert (statuses, listed) == ([401, 403, 200], ["b"])
    assert (await locked.ask("k", "/v1/models/a")).status_code == 404
    assert (await locked.ask("k", "/tokenize", model="a", prompt="x")).status_code == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health", "/version", "/docs", "/openapi.json"])
async def test_what_load_balancers_and_readers_ask_needs_no_key(lock: Lock, path: str) -> None:
    assert (await lock({"k": {}}).ask("", path)).status_code != 401


async def test_what_needs_no_key_tells_no_warnings_which_name_models_and_hosts(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Description, "warnings", lambda _: ["one host has every replica of a"])
    locked = lock({"k": {}})
    locked_out = (await locked.ask("", "/readyz")).json()
    locked.router.reconfigure({"access": {"keys": None}})

    assert "warnings" not in locked_out
    assert (await locked.ask("", "/readyz")).json()["warnings"] == ["one host has every replica of a"]


@pytest.mark.parametrize(("tier", "model"), [("primary", "backup"), ("backup", "b")])
@pytest.mark.parametrize("path", ["/tokenize", "/v1/messages/count_tokens"])
async def test_the_tokenizer_of_a_tier_that_a_key_lacks_is_not_asked(
    lock: Lock, tier: str, model: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def ask(_: Any, __: Any, named: str) -> Answer:
        asked.append(named)
        return Answer({"count": 3, "tokens": [1, 2, 3]}, named, Tier.PRIMARY, degraded=False, attempts=())

    monkeypatch.setattr(Tokenizers, "ask", ask)
    body = {"prompt": "x"} if path == "/tokenize" else MESSAGES

    statuses = [
        (await lock({"k": {"tiers": tiers}}).ask(path=path, model=model, **body)).status_code
        for tiers in ([tier], ["primary", "backup"])
    ]

    assert (statuses, asked) == ([403 if path == "/tokenize" else 200, 200], [model])


async def test_a_path_that_does_not_exist_needs_a_key_like_any_other(lock: Lock) -> None:
    assert (await lock({"k": {}}).ask("", "/nowhere")).status_code == 401


async def test_a_call_through_a_handle_comes_from_inside_the_cluster_and_needs_no_key(lock: Lock) -> None:
    locked = lock({"k": {"models": ["a"]}})
    await locked.router._registry.refresh()

    assert (await locked.router.infer({"text": "Hi"}, "b"))["result"] == "from b"


async def test_identical_requests_in_flight_share_no_answer_across_keys_with_other_rights(lock: Lock) -> None:
    keys = {"k": {}, "local": {"boundary": "local", "tiers": ["primary"], "models": ["a"]}}
    locked = lock(keys, cache={"seconds": 60, "share": True})
    release = asyncio.Event()

    async def slow(*_: Any, **__: Any) -> Any:
        await release.wait()
        return Failed("it broke")

    locked.models["a"].start = slow  # type: ignore[method-assign]
    asking = [asyncio.ensure_future(locked.ask(key, model="a")) for key in keys]
    await asyncio.sleep(0)
    release.set()
    free, held = [(await each).json() for each in asking]

    assert (free["result"], held["served_by"]) == ("from b", "last_resort")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "broken", ["ChainBuilder.refused", "Canary.offer", "AnswerCache.key_of", "AnswerCache.instead", "begin_trace"]
)
async def test_an_error_of_ours_leaves_nothing_of_a_key_taken(
    lock: Lock, broken: str, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    tiers = ["primary"] if broken == "AnswerCache.instead" else ["primary", "backup"]  # it is for the last resort
    locked = lock({"k": {"models": ["a"], "tiers": tiers, "concurrent_requests": 1}}, cache={"seconds": 60})
    before = await locked.ask(model="a", stream=stream)
    with monkeypatch.context() as patched:
        patched.setattr(f"deployments.router.answering.{broken}", breaks)
        broke = await locked.ask(model="a", stream=stream)
    after = await locked.ask(model="a", stream=stream)

    told = locked.router.describe()
    assert [each.status_code for each in (before, broke, after)] == [200, 200, 200]
    assert (told["access"]["used"]["k"]["concurrent_requests"]["used"], told["in_flight"]) == (0, 0)


async def test_a_fault_is_injected_only_for_an_administrator(lock: Lock) -> None:
    locked = lock({"k": {}, "boss": {"admin": True}}, drills={"enabled": True})

    statuses = []
    for key in ("k", "boss"):
        await locked.router._registry.refresh()
        headers = {"x-neverblank-fault": "error@b", "authorization": f"Bearer {locked.keys[key]}"}
        response = await send(locked.router, "/v1/infer", {"text": "Hi", "model": "b", "timeout": 5}, headers=headers)
        statuses.append(response.status_code)

    assert statuses == [403, 200]


@pytest.mark.parametrize("path", ["/tokenize", "/v1/messages/count_tokens"])
async def test_questions_to_tokenizers_are_limited_as_requests_are_and_take_nothing_from_them(
    lock: Lock, path: str
) -> None:
    locked = lock({"k": {"requests_per_minute": 2, "tokens_per_minute": 4000}})
    question: dict[str, Any] = {"model": "b", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    if path == "/tokenize":
        question = {"model": "b", "prompt": "Hi"}

    told = [await locked.ask(path=path, **question) for _ in range(3)]

    assert [response.status_code == 429 for response in told] == [False, False, True]
    assert "retry-after" in told[2].headers
    remaining = [value for name, value in told[1].headers.items() if "remaining" in name]
    assert remaining == ["0"], "of questions, and nothing is told of tokens, of which they take none"
    assert [(await locked.ask(model="b")).status_code for _ in range(3)] == [200, 200, 429]
    assert (await locked.ask(path=path, **question)).status_code == 429
