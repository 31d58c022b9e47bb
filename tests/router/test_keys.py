"""The rights of a key hold in every tier, whatever fails; what it does not allow is not asked, and is in the trace."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.access import gate
from deployments.observability import log
from deployments.policy.outcome import Answered, Failed, Usage
from deployments.router.router import Router
from deployments.settings import PolicySettings, SettingsError
from tests.access.keys import bearer, write_keys
from tests.http.wire import ENDPOINTS, events, send
from tests.router.test_spaces import Scripted, trace
from tests.serving import FakeCluster, application

SECRET_REMOTE = {"base_url": "http://127.0.0.1:9/v1", "model": "x"}


class Locked:
    """A router with the models `a`, which falls back to `b` and two remote ones, and `b`; and a key for each test."""

    def __init__(self, folder: Path, keys: Mapping[str, dict[str, Any]], **policy: Any) -> None:
        self.file = folder / "keys.yaml"
        self.keys = write_keys(self.file, **keys)
        self.cluster = FakeCluster(a=application("a"), b=application("b"))
        self.models = {"a": Scripted(Failed("it broke")), "b": Scripted(Answered("from b", Usage(10, 20)))}
        self.cluster.replicas.update(self.models)
        self.backup = Scripted(Answered("from the backup"))
        overrides = {
            "access": {"keys": str(self.file)},
            "models": {"a": {"fallbacks": ["far", "eu", "b"]}},
            "remotes": {"far": SECRET_REMOTE, "eu": {**SECRET_REMOTE, "labels": ["eu"]}},
            "default_model": "a",
            **policy,
        }
        backup: Any = self.backup
        self.router = Router(self.cluster, backup, "backup", PolicySettings().with_overrides(overrides, {}))

    async def ask(self, key: str = "k", path: str = "/v1/infer", **body: Any) -> httpx.Response:
        await self.router._registry.refresh()
        asked = {"text": "Hi", "timeout": 5, **body} if path == "/v1/infer" else body
        return await send(self.router, path, asked or None, headers=bearer(self.keys[key]) if key else {})


async def test_a_key_for_one_model_does_not_reach_another_by_making_it_fail(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a"], "tiers": ["primary"]}})

    body = (await locked.ask(model="a")).json()

    assert (body["served_by"], locked.models["a"].calls >= 1) == ("last_resort", True)
    assert (locked.models["b"].calls, locked.backup.calls) == (0, 0)
    told = trace(body)
    assert told["b"] == told["far"] == ("refused", "beyond the rights of this key: models")
    assert told["backup"] == ("refused", "beyond the rights of this key: tiers")


async def test_the_local_backup_answers_for_a_key_that_names_only_another_model(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a"]}})

    body = (await locked.ask(model="a")).json()

    assert (body["result"], body["model"], locked.models["b"].calls) == ("from the backup", "backup", 0)


@pytest.mark.parametrize(
    ("boundary", "asked"), [("local", set()), (["eu"], {"eu"}), (["us", "eu"], {"eu"}), ("anywhere", {"far", "eu"})]
)
async def test_a_boundary_holds_for_whatever_stands_behind_the_model(
    tmp_path: Path, boundary: Any, asked: set[str]
) -> None:
    locked = Locked(tmp_path, {"k": {"boundary": boundary}})

    body = (await locked.ask(model="a")).json()

    told = trace(body)
    reached = {name for name in ("far", "eu") if "beyond the rights" not in told[name][1]}
    assert (body["result"], reached) == ("from b", asked)


async def test_a_local_boundary_holds_for_a_remote_backup_and_for_a_model_that_becomes_remote_meanwhile(
    tmp_path: Path,
) -> None:
    locked = Locked(tmp_path, {"k": {"boundary": "local"}}, backup_model="far")
    held = asyncio.Event()
    locked.models["a"].outcome = Failed("it broke")

    async def slow(*_: Any, **__: Any) -> Any:
        await held.wait()
        return Failed("it broke")

    locked.models["a"].start = slow  # type: ignore[method-assign]
    asking = asyncio.ensure_future(locked.ask(model="a"))
    await asyncio.sleep(0.05)
    locked.router.reconfigure({"access": {"keys": str(locked.file)}, "remotes": {"b": SECRET_REMOTE}})
    held.set()
    body = (await asking).json()

    assert body["model"] == "backup"
    assert trace(body)["far"] == trace(body)["b"] == ("refused", "beyond the rights of this key: boundary")


async def test_a_stream_is_held_to_the_same_rights_and_tells_so(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a", "b"]}})

    response = await locked.ask(model="a", stream=True)

    _, done = events(response)[-1]
    assert (done["result"], done["attempts"][0]["reason"]) == ("from b", "beyond the rights of this key: models")
    assert "primary/far=refused, primary/eu=refused, primary/a=failed" in response.headers["x-neverblank-attempts"]


@pytest.mark.parametrize("name", ["b", "far", "backup", "no-such-model"])
async def test_a_model_beyond_the_rights_is_refused_by_name_whether_it_exists_or_not(tmp_path: Path, name: str) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a*"]}})

    response = await locked.ask(model=name)

    assert (response.status_code, response.json()["error"]["code"]) == (403, "permission_denied")
    assert response.json()["error"]["type"] == "permission"


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("status", [401, 403, 429])
async def test_each_refusal_has_the_form_of_each_format(
    tmp_path: Path, path: str, body: dict[str, Any], status: int
) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a", "b"], "requests_per_minute": 1}})
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


async def test_what_is_left_is_told_in_the_headers_that_clients_know(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"requests_per_minute": 60, "tokens_per_minute": 10_000}})

    openai = (await locked.ask(path="/v1/chat/completions", **ENDPOINTS[1][1], model="b")).headers
    anthropic = (await locked.ask(path="/v1/messages", **ENDPOINTS[3][1], model="b")).headers

    assert (openai["x-ratelimit-limit-requests"], openai["x-ratelimit-remaining-requests"]) == ("60", "59")
    assert (openai["x-ratelimit-limit-tokens"], openai["x-ratelimit-remaining-tokens"]) == ("10000", "9970")
    assert openai["x-ratelimit-reset-requests"].endswith("s")
    assert anthropic["anthropic-ratelimit-requests-remaining"] == "58"
    assert anthropic["anthropic-ratelimit-tokens-reset"].endswith("Z")


async def test_an_answer_is_charged_by_the_counts_of_the_model_that_gave_it_and_a_last_resort_is_free(
    tmp_path: Path,
) -> None:
    prices = {"b": {"input": 1_000_000, "output": 500_000}}
    locked = Locked(tmp_path, {"k": {"money_per_day": 1000, "tokens_per_day": 10_000}}, prices=prices)
    await locked.ask(model="b")
    await locked.ask(model="b", stream=True)
    await locked.ask(model="a", tiers=["primary"], fallback=False)

    used = locked.router.describe()["access"]["used"]["k"]

    assert (used["money_per_day"]["used"], used["tokens_per_day"]["used"]) == (40.0, 60.0)


async def test_a_caller_that_leaves_gives_its_place_back_and_pays_for_what_was_begun(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"concurrent_requests": 1, "tokens_per_day": 10_000}})

    async def hang(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    locked.models["b"].start = hang  # type: ignore[method-assign]
    asking = asyncio.ensure_future(locked.ask(model="b", text="four letters " * 10, timeout=30))
    await asyncio.sleep(0.05)
    assert (await locked.ask(model="b")).status_code == 429
    asking.cancel()
    await asyncio.wait([asking])

    used = locked.router.describe()["access"]["used"]["k"]
    assert (used["concurrent_requests"]["used"], used["tokens_per_day"]["used"]) == (0, 33)


async def test_only_an_administrator_sees_the_status_and_everybody_the_models_of_his_key(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["b"]}, "boss": {"admin": True}})

    statuses = [(await locked.ask(key, "/status")).status_code for key in ("", "k", "boss")]
    listed = [model["id"] for model in (await locked.ask("k", "/v1/models")).json()["data"]]

    assert (statuses, listed) == ([401, 403, 200], ["b"])
    assert (await locked.ask("k", "/v1/models/a")).status_code == 404
    assert (await locked.ask("k", "/tokenize", model="a", prompt="x")).status_code == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health", "/version", "/docs", "/openapi.json"])
async def test_what_load_balancers_and_readers_ask_needs_no_key(tmp_path: Path, path: str) -> None:
    assert (await Locked(tmp_path, {"k": {}}).ask("", path)).status_code != 401


async def test_a_path_that_does_not_exist_needs_a_key_like_any_other(tmp_path: Path) -> None:
    assert (await Locked(tmp_path, {"k": {}}).ask("", "/nowhere")).status_code == 401


async def test_a_call_through_a_handle_comes_from_inside_the_cluster_and_needs_no_key(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a"]}})
    await locked.router._registry.refresh()

    assert (await locked.router.infer({"text": "Hi"}, "b"))["result"] == "from b"


@pytest.mark.looptime
async def test_a_file_of_keys_that_does_not_fit_leaves_the_keys_before_in_force_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(log, "keys_read", lambda count, trouble: told.append((count, trouble)))

    async def at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(gate.asyncio, "to_thread", at_once)  # type: ignore[attr-defined]
    locked = Locked(tmp_path, {"k": {}, "gone": {}})
    watching = asyncio.ensure_future(locked.router.gate.watch())
    locked.file.write_text("keys: {k: {tokens_per_day: -1}}")
    await asyncio.sleep(3)
    assert (await locked.ask(model="b")).status_code == 200
    assert "tokens_per_day" in locked.router.describe()["access"]["trouble"]
    keys = write_keys(locked.file, other={})
    await asyncio.sleep(3)
    watching.cancel()

    assert (await locked.ask(model="b")).status_code == 401
    locked.keys |= keys
    assert (await locked.ask("other", model="b")).status_code == 200
    assert locked.router.describe()["access"]["trouble"] == ""
    assert [count for count, _ in told] == [2, 2, 1]
    assert ["tokens_per_day" in trouble for _, trouble in told] == [False, True, False]


async def test_a_key_that_names_a_model_nobody_knows_is_told_of_in_the_status(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {"models": ["a", "typo", "b*", "far", "backup"]}})
    await locked.router._registry.refresh()

    assert locked.router.describe()["access"]["unknown_models"] == {"k": ["typo"]}


async def test_a_policy_whose_keys_cannot_be_read_is_refused_and_the_one_before_stays(tmp_path: Path) -> None:
    locked = Locked(tmp_path, {"k": {}})

    with pytest.raises(SettingsError, match="cannot be read"):
        locked.router.reconfigure({"access": {"keys": str(tmp_path / "none.yaml")}})

    assert (await locked.ask(model="b")).status_code == 200
    assert (await locked.ask("", model="b")).status_code == 401


@pytest.mark.parametrize(
    ("exposed", "access", "starts"), [(False, {}, True), (True, {}, False), (True, {"open": True}, True)]
)
async def test_a_port_that_others_can_reach_is_locked_or_meant_to_be_open_or_the_router_does_not_start(
    exposed: bool,  # noqa: FBT001 - a parameter of the test
    access: dict[str, Any],
    starts: bool,  # noqa: FBT001 - the same
) -> None:
    cluster, backup = FakeCluster(), Scripted(Answered("x"))
    cluster.exposed = exposed
    of_backup: Any = backup
    router = Router(cluster, of_backup, "backup", PolicySettings().with_overrides({"access": access}, {}))

    if starts:
        await router.check_health()
    else:
        with pytest.raises(RuntimeError, match=r"access\.open"):
            await router.check_health()


async def test_a_key_is_in_no_answer_no_trace_and_no_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = Locked(tmp_path, {"k": {"requests_per_minute": 2}, "free": {}}, log_content=True)
    secrets = [key.rpartition("-")[2] for key in locked.keys.values()]

    def breaks(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    answers = [await locked.ask(model="b", text="")] + [await locked.ask(model="a") for _ in range(3)]
    monkeypatch.setattr(locked.router, "_refuse_loops", breaks)
    answers.append(await locked.ask("free", model="b"))
    told = capfd.readouterr()

    assert {200, 400, 429} == {answer.status_code for answer in answers}
    for text in (
        told.out,
        told.err,
        str(locked.router.describe()),
        *(f"{each.text}{each.headers}" for each in answers),
    ):
        assert not any(secret in text for secret in secrets)
