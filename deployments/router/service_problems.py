"""What is wrong with the service, in one line each, the worst first: for whoever looks at the status."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

STALE_S = 10.0
"""Seconds after which a router should have heard from Serve again: it asks every second."""

_Found = tuple[str, str, str]

ERROR, WARNING = "error", "warning"
"""An error costs answers of the models that were asked for, or may soon; a warning is worth a look."""


def problems_of(status: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what is wrong: `severity`, `where` and `what`, errors first.

    Args:
        status: the status of the service, as `service_status` puts it together.
    """
    found = [
        *_of_head(status["head"]),
        *_of_routers(status),
        *_of_keys(status["access"]),
        *_of_backup(status),
        *_of_models(status),
        *_of_outside(status),
        *_of_placement(status),
    ]
    ordered = sorted(found, key=lambda each: each[0] != ERROR)
    return [{"severity": severity, "where": where, "what": what} for severity, where, what in ordered]


def _of_head(head: Mapping[str, Any]) -> Iterator[_Found]:
    if not head["answers"]:
        since = f"for {head['silent_s']:.0f} s" if head["silent_s"] < _NEVER_S else "yet"
        what = f"has not answered {since}: models are as they were then, and none is deployed, scaled or replaced"
        yield ERROR, "head", _with_reason(what, head["reason"])


def _of_routers(status: Mapping[str, Any]) -> Iterator[_Found]:
    for replica, reason in status["unheard"].items():
        yield ERROR, f"router {replica}", f"runs, and was not heard: {reason}"
    for router in status["routers"]:
        where = f"router {router['replica']}"
        if (age_s := router["discovery_age_s"]) > STALE_S and status["head"]["answers"]:
            ever = f"for {age_s:.0f} s" if age_s < _NEVER_S else "yet"
            yield ERROR, where, f"has not heard from Serve {ever}: it knows the models of before"
        for name, task in router["background"].items():
            if not task["running"]:
                yield ERROR, where, f"its task {name} does not run: {task['reason']}"


def _of_keys(access: Mapping[str, Any]) -> Iterator[_Found]:
    if trouble := access.get("trouble"):
        yield ERROR, "keys", f"the file does not fit, and the keys before hold: {trouble}"
    if trouble := access.get("exchange_trouble"):
        yield WARNING, "keys", f"the routers do not tell each other what was used: {trouble}"
    for name, models in access.get("unknown_models", {}).items():
        yield WARNING, f"key {name}", f"names models that nobody knows: {', '.join(models)}"


_NEVER_S = 1e9
"""Of a router that has not heard from Serve at all: `description` bounds an age to this."""


def _of_backup(status: Mapping[str, Any]) -> Iterator[_Found]:
    backup = status["backup"]
    if backup["state"] != "ready":
        what = f"is {backup['state']}: behind the models is only the last resort"
        yield ERROR, "backup", _with_reason(what, backup.get("reason", ""))
    canary = status["canary"]
    if not canary["sound"]:
        yield ERROR, "backup", _with_reason("did not answer well when it was exercised", canary["reason"])
    yield from _of_limit("backup", [router["backup"] for router in status["routers"]])


def _of_outside(status: Mapping[str, Any]) -> Iterator[_Found]:
    for where, what in OUTSIDE.items():
        told = status[where]
        if told["on"] and not told.get("reachable", True):
            yield WARNING, where, f"{what}: {told['reason']}"


OUTSIDE = {
    "cache": "its store does not answer, and no earlier answer is found there",
    "responses": "their store does not answer: none is kept, and no conversation is gone on with",
    "traces": "they do not arrive",
}
"""What is outside of the service, and what is lost while it cannot be reached. Answers go on without any of it."""


def _of_placement(status: Mapping[str, Any]) -> Iterator[_Found]:
    for warning in status["warnings"]:
        yield WARNING, "service", warning


def _of_models(status: Mapping[str, Any]) -> Iterator[_Found]:
    for name, model in status["models"].items():
        where = f"model {name}"
        if model["state"] == "failed":
            yield ERROR, where, _with_reason("has failed", model.get("reason", ""))
        elif model["state"] == "loading":
            yield WARNING, where, _with_reason("is loading", model.get("reason", ""))
        if failed := model.get("update_failed"):
            yield WARNING, where, f"runs in its old version, as the new one cannot be loaded: {failed}"
        if model.get("breaker", "closed") != "closed":
            yield ERROR, where, f"its breaker is {_breakers(status, name)}"
        if behind := model.get("behind"):
            yield WARNING, where, f"is put behind for {', '.join(behind)}: its last answers had not that form"
        yield from _of_limit(where, [router["models"].get(name, {}) for router in status["routers"]])


def _of_limit(where: str, told: Iterable[Mapping[str, Any]]) -> Iterator[_Found]:
    """Tell of a limit that is reached in a router; `told` is what each router knows of one model."""
    for facts in told:
        if "limit" in facts and facts.get("in_flight", 0) >= facts["limit"]:
            what = f"is at its limit in a router: {facts['in_flight']} of {facts['limit']} attempts at a time"
            yield WARNING, where, what
            return


def _breakers(status: Mapping[str, Any], name: str) -> str:
    """Return the states of a model's breakers that are not closed, such as `open in 1 of 2 routers`."""
    states = [router["models"].get(name, {}).get("breaker", "closed") for router in status["routers"]]
    return ", ".join(
        f"{_WORDS[state]} in {states.count(state)} of {len(states)} routers" for state in _WORDS if state in states
    )


_WORDS = {"open": "open", "halfopen": "half-open"}


def _with_reason(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
