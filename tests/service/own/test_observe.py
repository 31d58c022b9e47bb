"""Every expression of the dashboard and of the alerts gives data: a real Prometheus scrapes the real service."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from deployments.observability.metric_table import METRICS, SNAPSHOTS
from tests.service.own.prometheus import OBSERVE, SEEN_S, Prometheus, measured, panels
from tests.service.own.team import KEYS, Team
from tests.service.service import ROOT, eventually

ALERTS = {rule["alert"]: rule for rule in yaml.safe_load((OBSERVE / "rules.yml").read_text())["groups"][0]["rules"]}
NAME = re.compile(r"ray_(neverblank_\w+?)(?:_bucket)?(?=[\[{) ]|$)")
ABSENT = "NeverblankNotScraped"
"""Its expression gives data where nothing else does."""


@pytest.fixture(scope="module")
def prometheus(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has scraped the service under load: answers of every tier, streams, failures."""
    running = Prometheus(team.service, tmp_path_factory.mktemp("prometheus"))
    try:
        running.wait_for("ray_neverblank_discovery_age_seconds", lambda: ask_everything(team))
        running.wait_for("rate(ray_neverblank_switches_total[1m])", lambda: ask_everything(team))
        yield running
    finally:
        running.stop()


def ask_everything(team: Team) -> None:
    """Have answers of every kind given."""
    team.service.ask({"text": "Hello"}, "steady")
    team.service.ask({"text": "Hello", "fault": "raise"}, "faulty")
    team.send("faulty-only", "/v1/infer/faulty", {"text": "Hello", "fault": "raise"})
    team.service.ask({"text": "Hello", "max_tokens": 4}, "a-name-that-a-caller-made-up")
    team.service.stream({"text": "Hello"}, "steady")
    team.send("", "/v1/infer/steady", {"text": "Hello"})


@pytest.mark.parametrize("title", panels())
def test_every_expression_of_the_dashboard_gives_data(team: Team, prometheus: Prometheus, title: str) -> None:
    for expression in panels()[title]:
        prometheus.wait_for(expression.replace("$__rate_interval", "1m"), lambda: ask_everything(team))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_read_and_what_it_measures_gives_data(team: Team, prometheus: Prometheus, alert: str) -> None:
    (read,) = [rule for rule in prometheus.rules() if rule["name"] == alert]

    assert read.get("lastError", "") == ""
    if alert == ABSENT:
        assert prometheus.query("ray_neverblank_discovery_age_seconds")
    elif alert != "NeverblankBreakerFlaps":  # no breaker of this service opens
        prometheus.wait_for(measured(ALERTS[alert]["expr"]), lambda: ask_everything(team))


def test_a_name_that_a_caller_made_up_is_no_label(prometheus: Prometheus) -> None:
    assert prometheus.wait_for('ray_neverblank_attempts_total{model="unknown"}')
    assert prometheus.query('{__name__=~"ray_neverblank.*",model=~"a-name-that.*"}') == []


def test_each_key_has_its_own_series_and_a_request_without_one_no_name(prometheus: Prometheus) -> None:
    assert prometheus.wait_for('ray_neverblank_key_requests_total{key="faulty-only",outcome="answered"}')
    assert prometheus.wait_for('ray_neverblank_key_requests_total{key="(none)",outcome="missing_api_key"}')
    keys = prometheus.query("count by (key) (ray_neverblank_key_requests_total)")
    assert {series["metric"]["key"] for series in keys} <= {*KEYS, "(none)"}


def test_the_alert_of_the_last_resort_fires_when_one_is_given(team: Team, prometheus: Prometheus) -> None:
    def firing() -> bool:
        ask_everything(team)
        return any(rule["name"] == "NeverblankLastResort" and rule["state"] == "firing" for rule in prometheus.rules())

    eventually(firing, SEEN_S, every_s=1.0)


def test_the_rules_fire_where_they_should_and_are_silent_where_all_is_well() -> None:
    told = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yml"],  # noqa: S607 - Debian's
        cwd=OBSERVE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stdout + told.stderr


def test_the_dashboard_and_the_alerts_name_metrics_that_there_are_and_leave_none_out() -> None:
    text = json.dumps(panels()) + "".join(rule["expr"] for rule in ALERTS.values())
    used = set(NAME.findall(text))

    names = {metric.name for metric in METRICS}
    assert used <= names
    assert names - used <= {"neverblank_answers_without_time_total", "neverblank_abandoned_seconds_total"}
    assert SNAPSHOTS.name in used


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)

    assert headings == list(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
