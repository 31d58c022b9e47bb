"""The policy: a file, a `user_config` over it, the environment over both; what comes out is whole and valid."""

from typing import Any

import pytest

from deployments.policy.breaker import BreakerPolicy
from deployments.settings import PolicySettings, SettingsError, parse

REMOTE = {"base_url": "https://api.example.com/v1", "model": "x"}


def error_of(overrides: dict[str, Any], environment: dict[str, str] | None = None) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        PolicySettings().with_overrides(overrides, environment or {})
    return caught.value


# --- sections ---------------------------------------------------------------------------------------


def test_a_section_of_the_settings_is_the_value_that_decisions_are_made_by() -> None:
    policy = PolicySettings().with_overrides({"breaker": {"failures": 2, "open_max_seconds": 7}}, {})

    assert policy.breaker == BreakerPolicy(failures=2, open_max_seconds=7.0)
    assert policy.to_resilience().breaker is policy.breaker


@pytest.mark.parametrize(
    ("overrides", "key", "wrong"),
    [
        ({"retries": {"base_seconds": 2}}, "retries.cap_seconds", "is 1, below base_seconds (2)"),
        ({"breaker": {"open_seconds": 20}}, "breaker.open_max_seconds", "is 10, below open_seconds (20)"),
        ({"admission": {"min_limit": 600}}, "admission.max_limit", "is 512, below min_limit (600)"),
        ({"breaker": {"failure_rate": 0}}, "breaker.failure_rate", "is 0"),
        ({"reserves": {"backup_min_seconds": 11}}, "reserves.backup_max_seconds", "is 10, below backup_min_seconds"),
        ({"reserves": {"backup_share": 0.8}}, "reserves.backup_share", "is 0.8, which leaves no time for the model"),
        ({"timeout_seconds": 1e-9}, "timeout_seconds", "is 1e-09"),
        ({"breaker": {"failures": True}}, "breaker.failures", "is 'true'"),
        ({"discovery_seconds": True}, "discovery_seconds", "is 'true'"),
        ({"streams": {"max_seconds": float("inf")}}, "streams.max_seconds", "is inf"),
    ],
)
def test_values_that_cannot_be_a_policy_are_refused_by_their_key(
    overrides: dict[str, Any], key: str, wrong: str
) -> None:
    error = error_of(overrides)

    assert error.key == key
    assert error.wrong.startswith(wrong)
    assert error.accepted
    assert len(error.faults) == 1


@pytest.mark.parametrize("limits", [{"max_limit": 4}, {"min_limit": 300}])
def test_bounds_that_do_not_hold_the_first_limit_are_accepted(limits: dict[str, int]) -> None:
    assert PolicySettings().with_overrides({"admission": limits}, {}).admission.initial_limit == 128


# --- overrides --------------------------------------------------------------------------------------


def test_user_config_is_merged_over_the_policy_key_by_key() -> None:
    base = parse(PolicySettings, {"timeout_seconds": 10, "breaker": {"failures": 2, "open_seconds": 3}}, "policy.yaml")

    merged = base.with_overrides({"breaker": {"failures": 4}, "log_content": True}, {})

    assert (merged.breaker.failures, merged.breaker.open_seconds, merged.breaker.probes) == (4, 3.0, 1)
    assert (merged.timeout_seconds, merged.log_content) == (10.0, True)
    assert base.breaker.failures == 2


def test_the_environment_goes_before_user_config() -> None:
    merged = PolicySettings().with_overrides({"timeout_seconds": 10}, {"INFERENCE_TIMEOUT_SECONDS": "2.5"})

    assert merged.timeout_seconds == 2.5


@pytest.mark.parametrize("value", ["soon", "", "0", "-5", "nan", "inf", "301"])
def test_a_timeout_in_the_environment_that_is_not_accepted_names_its_variable(value: str) -> None:
    environment = {"INFERENCE_TIMEOUT_SECONDS": value}

    error = error_of({}, environment)

    assert (error.file, error.key) == ("environment", "INFERENCE_TIMEOUT_SECONDS")


def test_the_environments_timeout_holds_for_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_TIMEOUT_SECONDS", "4")

    assert PolicySettings.from_environment().timeout_seconds == 4.0


def test_faults_of_the_environment_are_told_together_with_those_of_user_config() -> None:
    error = error_of({"breaker": {"failures": 0}}, {"INFERENCE_TIMEOUT_SECONDS": "soon"})

    assert [(fault.file, fault.key) for fault in error.faults] == [
        ("user_config", "breaker.failures"),
        ("environment", "INFERENCE_TIMEOUT_SECONDS"),
    ]


# --- what is logged ---------------------------------------------------------------------------------


def test_a_log_line_has_what_is_not_the_default() -> None:
    policy = PolicySettings().with_overrides({"breaker": {"failures": 5, "probes": 2}, "log_content": True}, {})

    assert policy.to_log() == {"breaker": {"probes": 2}, "log_content": True}


def test_a_log_line_has_the_names_of_headers_and_not_their_values() -> None:
    headers = {"x-team": "hunter2", "x-region": "eu"}
    policy = PolicySettings().with_overrides({"remotes": {"hosted": {**REMOTE, "headers": headers}}}, {})

    assert policy.to_log()["remotes"] == {"hosted": {**REMOTE, "headers": ["x-region", "x-team"]}}
    assert policy.remotes["hosted"].headers == headers


@pytest.mark.parametrize("store", ["", "sqlite:/var/lib/x", "redis://host", "redis://host:6379/0", "rediss://host:1"])
def test_a_store_of_responses_is_a_file_or_redis(store: str) -> None:
    policy = PolicySettings().with_overrides({"responses": {"store": store, "password_env": "PASSWORD"}}, {})

    assert policy.responses.place({"PASSWORD": "secret"}) == (store, "secret", 30 * 24 * 3600, 1 << 30)
    assert policy.responses.place({}) == (store, "", 30 * 24 * 3600, 1 << 30)


@pytest.mark.parametrize("store", ["memory", "sqlite:relative", "redis://:secret@host", "redis://me:secret@host:1/0"])
def test_another_address_or_one_with_a_password_is_refused_and_not_quoted(store: str) -> None:
    with pytest.raises(SettingsError, match=r"responses\.store") as caught:
        PolicySettings().with_overrides({"responses": {"store": store}}, {})

    assert "secret" not in str(caught.value)
