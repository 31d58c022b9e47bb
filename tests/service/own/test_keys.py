"""Keys on a real service with two routers: refusals in the form of each format, and rights that hold in all tiers."""

from typing import Any

import pytest

from tests.http.wire import ENDPOINTS
from tests.service.own.team import Team
from tests.service.service import eventually

KINDS = {401: "authentication", 403: "permission", 429: "rate_limit"}
BROKEN: dict[str, Any] = {"text": "Hello", "fault": "raise", "timeout": 20}


def asked(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The outcome and the reason of each attempt, by its model."""
    return {attempt["model"]: (attempt["outcome"], attempt["reason"]) for attempt in answer["attempts"]}


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
@pytest.mark.parametrize("status", KINDS)
def test_a_refusal_has_the_form_of_the_format_that_was_asked_in(
    team: Team, path: str, body: dict[str, Any], status: int
) -> None:
    key = {401: "", 403: "faulty-only", 429: "once"}[status]
    if status == 429:
        team.send("once", "/v1/infer", {"text": "Hello"})

    response = team.send(key, path, {**body, "model": "steady"})

    assert response.status_code == status, response.text
    kind = KINDS[status]
    assert response.json()["error"]["type"] == (kind if path == "/v1/infer" else f"{kind}_error")
    assert response.json().get("type") == ("error" if path == "/v1/messages" else None)
    assert ("retry-after" in response.headers) == (status == 429)
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert "nb-" not in response.text


def test_a_limit_holds_for_all_routers_together_and_its_headers_say_so(team: Team) -> None:
    team.send("once", "/v1/infer", {"text": "Hello"})

    for _ in range(6):
        response = team.send("once", "/v1/infer", {"text": "Hello"})
        assert (response.status_code, 1 <= int(response.headers["retry-after"]) <= 120) == (429, True)

    answered = team.send("payer", "/v1/infer", {"text": "Hello"})
    assert answered.status_code == 200
    used = eventually(lambda: team.service.status()["access"]["used"]["payer"]["money_per_day"]["used"], 10.0)
    assert 0 < used < 1


def test_a_key_for_one_model_reaches_no_other_by_making_it_fail(team: Team) -> None:
    body = team.send("faulty-only", "/v1/infer/faulty", BROKEN).json()

    told = asked(body)
    assert body["served_by"] == "last_resort"
    assert told["faulty"][0] == "failed"
    assert {told[name] for name in ("abroad", "steady")} == {("refused", "beyond the rights of this key: models")}
    assert told["backup"] == ("refused", "beyond the rights of this key: tiers")


@pytest.mark.parametrize(("key", "served"), [("home", "steady"), ("eu", "steady"), ("payer", "abroad")])
def test_a_boundary_holds_for_what_stands_behind_a_model_that_fails(team: Team, key: str, served: str) -> None:
    body = team.send(key, "/v1/infer/faulty", BROKEN).json()

    assert (body["model"], body["served_by"]) == (served, "primary")
    refused = ("refused", "beyond the rights of this key: boundary")
    assert (asked(body)["abroad"] == refused) == (served == "steady")


def test_only_an_administrator_sees_the_status_and_acts(team: Team) -> None:
    for path, method, body in (("/status", "GET", None), ("/admin/acts", "POST", {"act": "drain", "model": "steady"})):
        assert team.send("", path, body, method=method).status_code == 401
        assert team.send("home", path, body, method=method).status_code == 403

    assert team.service.status()["access"]["keys"] == len(team.keys)


def test_no_key_stands_in_the_status_or_in_a_log(team: Team) -> None:
    told = team.send("boss", "/status", method="GET").text + team.service.log

    assert [name for name, key in team.keys.items() if key.split("-", 2)[2] in told] == []
