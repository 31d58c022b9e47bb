"""Every expression of the dashboard and of the alerts gives data: a real Prometheus scrapes the real service."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from deployments.observability.metric_table import METRICS, SNAPSHOTS
from tests.service.prometheus import OBSERVE, Prometheus, measured, panels
from tests.service.service import ROOT, Service, eventually

ALERTS = {rule["alert"]: rule for rule in yaml.safe_load((OBSERVE / "rules.yml").read_text())["groups"][0]["rules"]}
NAME = re.compile(r"ray_(neverblank_\w+?)(?:_bucket)?(?=[\[{) ]|$)")
ABSENT = "NeverblankNotScraped"
"""Its expression gives data where nothing else does."""


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has scraped the service under load: answers of every tier, streams, failures."""
    running = Prometheus(service, tmp_path_factory.mktemp("prometheus"))
    try:
        eventually(lambda: bool(running.query("ray_neverblank_discovery_age_seconds")), 60)
        for _ in range(8):
            ask_everything(service)
        eventually(lambda: len(running.query("rate(ray_neverblank_switches_total[1m])")) > 0, 60)
        yield running
    finally:
        running.stop()


def ask_everything(service: Service) -> bool:
    """Have answers of every kind given; return false, as that is no data yet."""
    service.ask({"text": "Hello", "max_tokens": 4}, "smollm2")
    service.ask({"text": "Hello", "fault": "raise", "max_tokens": 4}, "faulty")
    service.ask({"text": "Hello", "fault": "raise", "tiers": ["primary"]}, "faulty")
    service.ask({"text": "Hello", "max_tokens": 4}, "a-name-that-a-caller-made-up")
    service.stream({"text": "Hello", "max_tokens": 4}, "smollm2")
    return False


@pytest.mark.parametrize("title", panels())
def test_every_expression_of_the_dashboard_gives_data(service: Service, prometheus: Prometheus, title: str) -> None:
    for expression in panels()[title]:
        asked = expression.replace("$__rate_interval", "1m")

        def found(asked: str = asked) -> bool:
            return bool(prometheus.query(asked)) or ask_everything(service)

        eventually(found, 40, every_s=1.0)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_read_and_what_it_measures_gives_data(
    service: Service, prometheus: Prometheus, alert: str
) -> None:
    (read,) = [rule for rule in prometheus.rules() if rule["name"] == alert]

    assert read.get("lastError", "") == ""
    if alert == ABSENT:
        assert prometheus.query("ray_neverblank_discovery_age_seconds")
    elif alert != "NeverblankBreakerFlaps":  # no breaker of this service opens
        eventually(lambda: bool(prometheus.query(measured(ALERTS[alert]["expr"]))), 40, every_s=1.0)


def test_a_name_that_a_caller_made_up_is_no_label(prometheus: Prometheus) -> None:
    assert prometheus.query('ray_neverblank_attempts_total{model="unknown"}')
    assert prometheus.query('{__name__=~"ray_neverblank.*",model=~"a-name-that.*"}') == []


def test_the_alert_of_the_last_resort_fires_when_one_is_given(service: Service, prometheus: Prometheus) -> None:
    def firing() -> bool:
        ask_everything(service)
        return any(rule["name"] == "NeverblankLastResort" and rule["state"] == "firing" for rule in prometheus.rules())

    eventually(firing, 60, every_s=1.0)


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
