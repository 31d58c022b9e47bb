"""What the routers say of themselves, put together: the status of the whole service, and its problems."""

from collections.abc import Iterator
from typing import Any

import pytest

from deployments.router.service_status import status_of_service

SOUND = {"on": True, "sound": True, "asked": 1, "failures_in_a_row": 0, "reason": ""}
MODEL = {"state": "ready", "breaker": "closed", "failure_rate": 0.0, "in_flight": 1, "limit": 8, "p50_s": 0.1}


def said(replica: str, models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a router says of itself."""
    return {
        "router": 7,
        "replica": replica,
        "default_model": "m",
        "discovery_age_s": 0.5,
        "models": models,
        "backup": {"state": "ready", "in_flight": 0, "limit": 8},
        "canary": SOUND,
        "cache": {"on": False},
        "access": {"keys": None},
        "warnings": [],
        "discovery_trouble": "",
        "responses": {"on": False, "reachable": True, "reason": ""},
        "traces": {"on": False, "reachable": True, "reason": "", "sent": 0, "dropped": 0},
        "interventions": {"holds": {}, "backup_share": 0.0, "changed_at": 0.0},
        "background": {"discovery": {"running": True, "ends": 0, "reason": ""}},
        "answers": {"primary": 1, "backup": 2, "cache": 0, "last_resort": 3},
        **dict.fromkeys(("in_flight", "arriving", "waiting", "turned_away", "abandoned", "drills"), 1),
        **changes,
    }


def problems(status: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["severity"], each["where"], each["what"]) for each in status["problems"]]


def test_counts_are_summed_and_a_model_is_as_its_worst_router_sees_it() -> None:
    worse = {**MODEL, "state": "loading", "reason": "loads", "breaker": "halfopen", "in_flight": 2, "p50_s": 0.3}

    status = status_of_service(said("r2", {"m": MODEL}), [said("r1", {"m": worse})], {})

    assert (status["in_flight"], status["answers"]) == (2, {"primary": 2, "backup": 4, "cache": 0, "last_resort": 6})
    merged = {**MODEL, "state": "loading", "reason": "loads", "breaker": "halfopen", "in_flight": 3, "limit": 16}
    assert status["models"]["m"] == {**merged, "p50_s": 0.3}
    assert [(each["replica"], each["models"]["m"]["breaker"]) for each in status["routers"]] == [
        ("r1", "halfopen"),
        ("r2", "closed"),
    ]


def test_a_model_that_a_router_has_not_found_yet_is_not_called_ready() -> None:
    status = status_of_service(said("r1", {}), [said("r2", {"m": MODEL})], {})

    assert (status["models"]["m"]["state"], status["models"]["m"]["limit"]) == ("loading", 8)


def test_where_all_is_well_there_is_no_problem() -> None:
    assert status_of_service(said("r1", {"m": MODEL, "idle": {"state": "idle"}}), [], {})["problems"] == []


def test_what_is_wrong_is_told_in_a_line_each_errors_first() -> None:
    ended = {"discovery": {"running": False, "ends": 1, "reason": "KeyError: 'x'"}}
    models = {
        "full": {**MODEL, "in_flight": 8},
        "failed": {"state": "failed", "reason": "no weights"},
        "open": {**MODEL, "breaker": "open"},
        "old": {**MODEL, "update_failed": "OSError: no file"},
        "loose": {**MODEL, "behind": ["json_object"]},
        "loading": {"state": "loading", "reason": "40 s so far"},
    }
    own = said("r1", models, discovery_age_s=12.0, background=ended, backup={"state": "loading", "reason": "loads"})
    own["canary"] = {**SOUND, "sound": False, "reason": "blank"}
    other = said("r2", dict.fromkeys(models, MODEL), discovery_age_s=1e9)

    told = problems(status_of_service(own, [other], {"r3": "no answer within 2 s"}))

    assert told == [
        ("error", "router r3", "runs, and was not heard: no answer within 2 s"),
        ("error", "router r1", "has not heard from Serve for 12 s: it knows the models of before"),
        ("error", "router r1", "its task discovery does not run: KeyError: 'x'"),
        ("error", "router r2", "has not heard from Serve yet: it knows the models of before"),
        ("error", "backup", "is loading: behind the models is only the last resort: loads"),
        ("error", "backup", "did not answer well when it was exercised: blank"),
        ("error", "model failed", "has failed: no weights"),
        ("error", "model open", "its breaker is open in 1 of 2 routers"),
        ("warning", "model full", "is at its limit in a router: 8 of 8 attempts at a time"),
        ("warning", "model loading", "is loading: 40 s so far"),
        ("warning", "model loose", "is put behind for json_object: its last answers had not that form"),
        ("warning", "model old", "runs in its old version, as the new one cannot be loaded: OSError: no file"),
    ]


@pytest.mark.parametrize("where", ["cache", "responses", "traces"])
def test_what_one_router_cannot_reach_outside_is_told_where_it_is_used(where: str) -> None:
    gone = {"on": True, "reachable": False, "reason": "ConnectionError: nobody listens"}
    reached = {"on": True, "reachable": True, "reason": ""}

    status = status_of_service(said("r1", {}, **{where: reached}), [said("r2", {}, **{where: gone})], {})
    off = status_of_service(said("r1", {}, **{where: {**gone, "on": False}}), [], {})

    ((severity, told, what),) = problems(status)
    assert (severity, told, what.endswith("ConnectionError: nobody listens")) == ("warning", where, True)
    assert (status[where]["reachable"], off["problems"]) == (False, [])


def test_a_head_that_answers_one_router_is_not_away() -> None:
    away = {"discovery_trouble": "TimeoutError: ", "discovery_age_s": 12.0}

    one = status_of_service(said("r1", {}, **away), [said("r2", {})], {})
    all_of_them = status_of_service(said("r1", {}, **away), [said("r2", {}, **away)], {})

    assert [where for _, where, _ in problems(one)] == ["router r1"]
    assert [where for _, where, _ in problems(all_of_them)] == ["head"]


def lacking(told: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """What is told, without what stands at `path`."""
    first, *rest = path
    if not rest:
        return {key: value for key, value in told.items() if key != first}
    return {**told, first: lacking(told[first], tuple(rest))}


def paths(told: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in told.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *path) for path in paths(value))


@pytest.mark.parametrize(
    "path", [each for each in paths(said("r2", {"m": MODEL})) if each != ("replica",)], ids=".".join
)
def test_what_a_router_of_another_version_does_not_tell_costs_no_status(path: tuple[str, ...]) -> None:
    other = lacking(said("r2", {"m": MODEL}), path)

    status = status_of_service(said("r1", {"m": MODEL}), [other], {})

    unseen = path in {("models",), ("models", "m"), ("models", "m", "state"), ("backup", "state")}
    assert (bool(status["problems"]), len(status["routers"])) == (unseen, 2)


def test_a_state_that_only_another_version_knows_costs_no_status() -> None:
    newer = said("r2", {"m": {**MODEL, "state": "asleep", "breaker": "forced"}})

    status = status_of_service(said("r1", {"m": MODEL}), [newer], {})

    assert (status["models"]["m"]["state"], status["models"]["m"]["breaker"]) == ("asleep", "closed")


# --- the real router, among others ------------------------------------------------------------------


def test_a_file_of_keys_that_does_not_fit_is_a_problem_of_the_service() -> None:
    access = {"keys": 2, "trouble": "keys.yaml: is not YAML", "unknown_models": {"team": ["typo"]}}

    found = problems(status_of_service(said("r1", {}, access=access), [], {}))

    assert [each[:2] for each in found] == [("error", "keys"), ("warning", "key team")]


def test_what_is_wrong_with_the_keys_of_any_router_is_a_problem_whichever_router_answers() -> None:
    fine = said("r1", {}, access={"keys": 2, "trouble": "", "exchange_trouble": "", "unknown_models": {"team": ["a"]}})
    told = {"trouble": "keys.yaml: is not YAML", "exchange_trouble": "no answer", "unknown_models": {"team": ["b"]}}
    other, older = said("r2", {}, access={"keys": 1, **told}), {**said("r3", {})}
    del older["access"]

    status = status_of_service(fine, [other, older], {})

    assert status["access"] == {"keys": 2, **told, "unknown_models": {"team": ["a", "b"]}}
    assert {"keys", "key team"} <= {each["where"] for each in status["problems"]}
    assert any("is not YAML" in each["what"] for each in status["problems"])
