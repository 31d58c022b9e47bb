"""A router takes over a changed policy as a whole or not at all, and whatever it takes over gives answers."""

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from deployments.execution.clock import loop_time
from deployments.observability import log
from deployments.policy.knob import Knobs
from deployments.policy.outcome import Answered, Outcome
from deployments.request import InferenceRequest
from deployments.router.router import Router
from deployments.settings import PolicySettings, SettingsError
from deployments.settings.remotes import RemoteSpec
from deployments.upstream import Upstream
from tests.fakes import a_request, run_virtually
from tests.router.test_remotes import NoModels

REMOTE = {"base_url": "https://api.example.com/v1", "model": "x"}
BEFORE = {
    "timeout_seconds": 20,
    "breaker": {"failures": 3},
    "retries": {"max": 1, "budget_share": 0.1},
    "admission": {"max_limit": 64, "overload_min_seconds": 1},
    "remotes": {"hosted": REMOTE, "other": REMOTE},
}
"""The policy that is in force before a change."""

IMPOSSIBLE = [
    {"retries": {"base_seconds": 2}},
    {"breaker": {"open_seconds": 20}},
    {"admission": {"min_limit": 600}},
    {"breaker": {"failure_rate": 0}},
]
"""Each passed the check of its own bounds once, and was refused, or broke every request, when it was used."""


class Told:
    """What the router has logged about its policy."""

    def __init__(self) -> None:
        self.changed: list[dict[str, Any]] = []
        self.refused: list[str] = []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(log, "policy_changed", told.changed.append)
    monkeypatch.setattr(log, "policy_refused", told.refused.append)
    return told


class Backup:
    """A backup that answers at once."""

    async def start(self, request: InferenceRequest, budget_s: float, *, alone: object = None) -> Outcome:
        return Answered("from the backup")


def a_router(user_config: dict[str, Any]) -> Router:
    backup: Any = Backup()
    router = Router(NoModels(), backup, "backup", PolicySettings())
    router.reconfigure(user_config)
    return router


def in_force(router: Router) -> list[Any]:
    """Everything a router goes by that comes from its policy."""
    resilience = router._resilience
    limits = [(known.limit.policy, known.limit.overload_min_s) for known in resilience._models.values()]
    return [
        router._policy,
        router.limits,
        resilience.policy,
        (resilience.budgets._retries.share, resilience.budgets._hedges.share),
        (resilience.latencies.policy, resilience.latencies.reserves),
        limits,
        {name: id(upstream) for name, upstream in router._upstreams._upstreams.items()},
        [router._upstreams.find(name) for name in ("hosted", "other")],
        router.overloaded(),
        router.last_resort_status,
    ]


async def ask(router: Router, model: str = "") -> str:
    """The tier that answers a request; the router has looked at Serve before."""
    await router._registry.refresh()
    return str((await router.infer({"input": "What is due?"}, model))["served_by"])


# --- named cases ------------------------------------------------------------------------------------


@pytest.mark.looptime
@pytest.mark.parametrize("change", IMPOSSIBLE, ids=str)
async def test_a_policy_that_cannot_work_is_refused_and_the_old_one_stays_whole(change: dict[str, Any]) -> None:
    router = a_router(BEFORE)
    await ask(router)
    before = in_force(router)

    with pytest.raises(SettingsError):
        router.reconfigure(change)

    assert in_force(router) == before
    assert await ask(router) == "backup"


@pytest.mark.looptime
async def test_a_change_that_fails_on_its_way_leaves_the_old_policy_whole(
    monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    router = a_router(BEFORE)
    await ask(router)
    before = in_force(router)

    def broken(name: str, spec: RemoteSpec, _: object) -> Upstream:
        raise OSError(f"no room for {name} at {spec.base_url}")

    monkeypatch.setattr("deployments.upstream.pool.Upstream", broken)
    with pytest.raises(OSError, match="no room"):
        router.reconfigure({"timeout_seconds": 5, "breaker": {"failures": 9}, "remotes": {"third": REMOTE}})

    assert in_force(router) == before
    assert told.refused == ["no room for third at https://api.example.com/v1"]


def test_a_change_that_retires_a_remote_model_where_no_loop_runs_leaves_the_old_policy_whole() -> None:
    router = a_router({"remotes": {"hosted": REMOTE}})

    with pytest.raises(RuntimeError, match="no running event loop"):
        router.reconfigure({"timeout_seconds": 5})

    assert router.limits.timeout_s == 30.0
    assert router._upstreams.find("hosted") is not None


@pytest.mark.looptime
async def test_a_store_that_cannot_be_opened_leaves_the_old_policy_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    router = a_router(BEFORE)
    before = in_force(router)

    def broken(address: str, *_: Any) -> Any:
        raise OSError(f"no {address}")

    monkeypatch.setattr(router.keeper, "_opens", broken)
    with pytest.raises(OSError, match="no sqlite"):
        router.reconfigure({"timeout_seconds": 5, "responses": {"store": "sqlite:/x"}})

    assert in_force(router) == before


@pytest.mark.parametrize("section", ["cache", "responses"])
@pytest.mark.parametrize("port", ["0", "99999"])
def test_the_address_of_a_store_has_a_port_that_exists(section: str, port: str) -> None:
    with pytest.raises(SettingsError, match="Port out of range"):
        PolicySettings().with_overrides({section: {"store": f"redis://there:{port}"}}, {})


# --- what the operator is told ----------------------------------------------------------------------


@pytest.mark.looptime
async def test_the_operator_is_told_of_a_policy_that_is_taken_over_without_the_values_of_headers(told: Told) -> None:
    router = a_router({})
    told.changed.clear()

    router.reconfigure({"remotes": {"hosted": {**REMOTE, "headers": {"x-team": "hunter2"}}}})

    assert told.changed == [{"remotes": {"hosted": {**REMOTE, "headers": ["x-team"]}}}]
    assert told.refused == []


@pytest.mark.looptime
async def test_the_operator_is_told_of_a_policy_that_is_refused_with_every_fault_of_it(told: Told) -> None:
    router = a_router(BEFORE)
    told.changed.clear()

    with pytest.raises(SettingsError):
        router.reconfigure({"breaker": {"open_secods": 1, "probes": 0}})

    (reason,) = told.refused
    assert "did you mean open_seconds?" in reason
    assert "breaker.probes" in reason
    assert told.changed == []


# --- whatever is configured -------------------------------------------------------------------------


def values(section: type[Knobs], name: str) -> st.SearchStrategy[Any]:
    """Values of one knob: mostly within its bounds or at them."""
    declared = next(each for each in fields(section) if each.name == name)
    if declared.type is bool:
        return st.booleans()
    bounds = [declared.metadata[bound] for bound in ("ge", "gt", "le") if bound in declared.metadata]
    least, most = min(bounds), max([*bounds, 10_000])
    numbers = st.integers(int(least), int(most)) if declared.type is int else st.floats(least, most)
    return st.one_of(*[numbers] * 6, st.sampled_from([declared.default, *bounds]), STRANGE)


STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [-1, 0, 0.5, 1e-300, 1e300, 10**30, math.nan, math.inf, True, None, "2", "x", []]
)
KNOBS = [
    (key, info.annotation, each.name)
    for key, info in PolicySettings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Knobs)
    for each in fields(info.annotation)
]
TIMES = st.one_of(*[st.floats(0.001, 300)] * 6, st.sampled_from([0, 1e-9, 400, "soon"]))
NAMES = st.sampled_from(["hosted", "other", "third"])
REMOTES = st.dictionaries(NAMES, st.just(REMOTE) | st.just({**REMOTE, "fallbacks": ["other"]}), max_size=2)
REST: dict[str, st.SearchStrategy[Any]] = {
    "timeout_seconds": TIMES,
    "max_timeout_seconds": TIMES,
    "discovery_seconds": TIMES,
    "max_request_bytes": st.integers(1000, 1 << 28),
    "backup_model": NAMES,
    "default_model": NAMES,
    "remotes": REMOTES,
    "colour": st.just("red"),
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A `user_config` that sets a few keys."""
    change: dict[str, Any] = {key: draw(REST[key]) for key in draw(st.lists(st.sampled_from([*REST]), max_size=2))}
    for key, section, name in draw(st.lists(st.sampled_from(KNOBS), unique=True, max_size=4)):
        change.setdefault(key, {})[name] = draw(values(section, name))
    return change


@given(changes())
@settings(max_examples=200, deadline=None)
def test_whatever_is_configured_is_taken_over_and_gives_answers_or_leaves_the_old_policy_whole(
    change: dict[str, Any],
) -> None:
    async def scenario() -> None:
        router = a_router(BEFORE)
        assert await ask(router) == "backup"
        before = in_force(router)
        try:
            router.reconfigure(change)
        except SettingsError:
            event("refused")
            assert in_force(router) == before
        else:
            event("taken over")
            policy = PolicySettings().with_overrides(change, {})
            assert router._policy == policy
            assert router._resilience.policy == policy.to_resilience()
        assert router._chains.chain(replace(a_request(), model="a"), router._policy, loop_time()).candidates
        assert await ask(router, model="backup") == "backup"

    run_virtually(scenario())
