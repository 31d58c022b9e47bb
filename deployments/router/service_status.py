"""The status of the whole service, put together from what each router says of itself.

A count is the sum over the routers. A state, a breaker or a latency is that of the router that has the worst of it: a
model counts as ready once every router would ask it. `routers` has what each of them says, `problems` what is wrong.

While the service is updated, its routers are of two versions: what one of the others does not tell counts as nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deployments.policy.serving_state import ServingState
from deployments.router.service_problems import OUTSIDE, problems_of

RouterFacts = Mapping[str, Any]
"""What one router says of itself, or of one model."""

_SUMS = ("in_flight", "arriving", "waiting", "turned_away", "abandoned", "drills")
_STATES = (ServingState.FAILED, ServingState.LOADING, ServingState.IDLE, ServingState.READY)
_BREAKERS = ("open", "halfopen", "closed")
"""From the worst to the best."""

_OF_A_ROUTER = frozenset({
    "state", "reason", "breaker", "failure_rate", "in_flight", "limit", "behind",
    "p50_s", "p95_s", "first_content_p50_s", "first_content_p95_s",
})  # fmt: skip
"""What each router finds out about a model by itself; all else is the same in all of them."""
_TROUBLES = ("trouble", "exchange_trouble")
_WORST = ("failure_rate", "p50_s", "p95_s", "first_content_p50_s", "first_content_p95_s")


_SOUND: RouterFacts = {"on": False, "sound": True, "asked": 0, "failures_in_a_row": 0, "reason": ""}
_RUNS: RouterFacts = {"running": True, "ends": 0, "reason": ""}
_UNTOLD: RouterFacts = {
    "discovery_age_s": 0.0,
    "discovery_trouble": "",
    "models": {},
    "backup": {},
    "access": {},
    "background": {},
    "warnings": (),
    "answers": {},
    **dict.fromkeys(_SUMS, 0),
    **{where: {"on": False} for where in OUTSIDE},
}
"""What counts for a router that does not tell it; `_whole` has the rest."""


def _whole(told: RouterFacts) -> RouterFacts:
    """Return what a router says of itself with all that this version of it says."""
    facts = {**_UNTOLD, **told}
    return {
        **facts,
        "canary": {**_SOUND, **facts.get("canary", {})},
        "interventions": {"changed_at": 0.0, **facts.get("interventions", {})},
        "background": {name: {**_RUNS, **task} for name, task in facts["background"].items()},
    }


def status_of_service(own: RouterFacts, others: Iterable[RouterFacts], unheard: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of `GET /status`.

    Args:
        own: what the router that answers says of itself.
        others: what the routers say that were asked; the one that answers may be among them.
        unheard: the routers that run and have not answered, and why.
    """
    own = _whole(own)
    told = {each["replica"]: _whole(each) for each in others} | {own["replica"]: own}
    routers = [told[replica] for replica in sorted(told)]
    status = {
        "router": own["router"],
        "replica": own["replica"],
        "default_model": own["default_model"],
        "discovery_age_s": max(router["discovery_age_s"] for router in routers),
        "head": _head(routers),
        "models": _models(own, routers),
        "backup": _model(
            [own["backup"], *(router["backup"] for router in routers if router is not own and router["backup"])]
        ),
        "background": _tasks(routers),
        "canary": _canary([router["canary"] for router in routers]),
        **{key: _outside(own[key], [router[key] for router in routers]) for key in OUTSIDE},
        "access": _access(own["access"], [router["access"] for router in routers]),
        "warnings": sorted({warning for router in routers for warning in router["warnings"]}),
        "discovery_trouble": next((each["discovery_trouble"] for each in routers if each["discovery_trouble"]), ""),
        "interventions": max((router["interventions"] for router in routers), key=lambda each: each["changed_at"]),
        **{key: sum(router[key] for router in routers) for key in _SUMS},
        "answers": {tier: sum(router["answers"].get(tier, 0) for router in routers) for tier in own["answers"]},
        "routers": [_router(router) for router in routers],
        "unheard": dict(unheard),
    }
    return {"problems": problems_of(status), **status}


def _outside(own: RouterFacts, told: Iterable[RouterFacts]) -> dict[str, Any]:
    """Return something outside of the service that routers use: it is reachable if it is for each of them."""
    reason = next((each["reason"] for each in told if each.get("reason")), "")
    return {**own, **({"reachable": False, "reason": reason} if reason else {})}


def _access(own: RouterFacts, told: Sequence[RouterFacts]) -> dict[str, Any]:
    """Return the keys as the router that answers has them, with what is wrong with them in any router."""
    troubles = {key: "; ".join(sorted({each[key] for each in told if each.get(key)})) for key in _TROUBLES}
    unknown = [models for models in (each.get("unknown_models") for each in told) if models]
    merged = {
        name: sorted({model for models in unknown for model in models.get(name, ())})
        for name in sorted({name for models in unknown for name in models})
    }
    found = {key: trouble for key, trouble in troubles.items() if trouble}
    return {**own, **found, **({"unknown_models": merged} if merged else {})}


def _head(routers: Sequence[RouterFacts]) -> dict[str, Any]:
    """Return whether Serve's controller, which runs on the head, answers any router, and since when it does not."""
    troubles = [router["discovery_trouble"] for router in routers]
    return {
        "answers": not all(troubles),
        "silent_s": min(router["discovery_age_s"] for router in routers),
        "reason": troubles[0] if all(troubles) else "",
    }


def _models(own: RouterFacts, routers: Sequence[RouterFacts]) -> dict[str, Any]:
    names = sorted({name for router in routers for name in router["models"]})
    order = [own, *(router for router in routers if router is not own)]
    return {name: _model([router["models"].get(name, _UNSEEN) for router in order]) for name in names}


_UNSEEN: RouterFacts = {"state": ServingState.LOADING.value, "reason": "a router has not found it yet"}


def _model(told: Sequence[RouterFacts]) -> dict[str, Any]:
    """Return one model, or the backup; the first of `told` is by the router that answers."""
    worst = min(told, key=lambda facts: _STATES.index(ServingState.of(facts)))
    merged = {**next((facts for facts in told if facts is not _UNSEEN), _UNSEEN)}
    merged |= {"state": worst.get("state", ServingState.LOADING.value), "reason": worst.get("reason", "")}
    if breakers := [facts["breaker"] for facts in told if facts.get("breaker") in _BREAKERS]:
        merged["breaker"] = min(breakers, key=_BREAKERS.index)
    for key in ("in_flight", "limit"):
        if values := [facts[key] for facts in told if key in facts]:
            merged[key] = sum(values)
    for key in _WORST:
        if values := [facts[key] for facts in told if key in facts]:
            merged[key] = max(values)
    return merged


def _tasks(routers: Sequence[RouterFacts]) -> dict[str, Any]:
    """Return the background tasks: one runs if it does in every router."""
    names = sorted({name for router in routers for name in router["background"]})
    return {
        name: _task([router["background"][name] for router in routers if name in router["background"]])
        for name in names
    }


def _task(told: Sequence[RouterFacts]) -> dict[str, Any]:
    reason = next((task["reason"] for task in told if not task["running"]), "") or told[0]["reason"]
    return {
        "running": all(task["running"] for task in told),
        "ends": sum(task["ends"] for task in told),
        "reason": reason,
    }


def _canary(told: Sequence[RouterFacts]) -> dict[str, Any]:
    """Return what exercising the backup has shown: it is sound if it is in every router."""
    return {
        "on": told[0]["on"],
        "sound": all(each["sound"] for each in told),
        "asked": sum(each["asked"] for each in told),
        "failures_in_a_row": max(each["failures_in_a_row"] for each in told),
        "reason": next((each["reason"] for each in told if each["reason"]), ""),
    }


def _router(told: RouterFacts) -> dict[str, Any]:
    """Return what a router says of itself, with what it has found out about models by itself."""
    models = {name: _own_part(facts) for name, facts in told["models"].items()}
    return {**told, "models": models, "backup": _own_part(told["backup"])}


def _own_part(facts: RouterFacts) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key in _OF_A_ROUTER}
