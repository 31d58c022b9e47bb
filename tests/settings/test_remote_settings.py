"""Remote models as operators declare them: mistakes are named, secrets have no place in a file."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.settings import PolicySettings, SettingsError
from deployments.settings.remotes import RemoteSpec

GOOD = {"base_url": "https://api.example.com/v1", "model": "x"}


def test_a_remote_model_needs_an_address_and_a_name() -> None:
    spec = RemoteSpec.model_validate(GOOD)

    assert (spec.base_url, spec.model, spec.prefill, spec.api_key_env) == (GOOD["base_url"], "x", "assistant", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "api.example.com/v1"),
        ("base_url", "ftp://api.example.com"),
        ("base_url", "https://"),
        ("base_url", "https://user:secret@api.example.com/v1"),
        ("base_url", "https://api.example.com/v1?key=secret"),
        ("base_url", "https://api.example.com:99999999/v1"),
        ("api_key_env", "sk-not a variable"),
        ("headers", {"Authorization": "Bearer secret"}),
        ("headers", {"x-team": "a\nb"}),
        ("header_env", {"x-key": "not a variable"}),
        ("prefill", "maybe"),
        ("max_answer_bytes", 0),
        ("api_key", "sk-123"),
        ("endpoints", [{"base_url": "https://other.example.com/v1"}]),
        ("query", {"a b": "c"}),
        ("query", {"api-version": "a\nb"}),
        ("api_key_header", "host"),
        ("api_key_header", "not a header"),
        ("affinity", "forever"),
        ("api", "gemini"),
    ],
)
def test_a_mistake_in_a_remote_model_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        RemoteSpec.model_validate({**GOOD, field: value})


PLACES = [{"base_url": "https://a.example.com/v1", "api_key_env": "KEY_A"}, {"base_url": "https://b.example.com/v1"}]


def test_a_remote_model_may_be_at_several_places() -> None:
    spec = RemoteSpec.model_validate({"endpoints": PLACES, "model": "x"})

    assert [(place.base_url, place.api_key_env, place.weight) for place in spec.places] == [
        ("https://a.example.com/v1", "KEY_A", 1.0),
        ("https://b.example.com/v1", None, 1.0),
    ]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": "x"}, "base_url"),
        ({"model": "x", "endpoints": []}, "base_url"),
        (
            {"model": "x", "endpoints": PLACES, "base_url": "https://c.example.com"},
            "endpoints: is given beside base_url",
        ),
        ({"model": "x", "endpoints": PLACES, "api_key_env": "KEY"}, "api_key_env: is given beside endpoints"),
        ({"model": "x", "endpoints": [{"base_url": "ftp://a"}]}, "base_url"),
        ({"model": "x", "endpoints": [{"base_url": "https://a", "weight": 0}]}, "weight"),
        ({"model": "x", "endpoints": [{"base_url": "https://a?key=secret"}]}, "base_url"),
        ({**GOOD, "api_key_header": "api-key", "header_env": {"Api-Key": "KEY"}}, "api_key_header"),
    ],
)
def test_a_mistake_in_the_places_of_a_remote_model_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        RemoteSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"task": "feature-extraction"}, "task"),
        ({"completions": True}, "completions"),
        ({"prefill": "continue"}, "prefill"),
    ],
)
def test_what_only_chats_have_does_not_go_with_another_format(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"{named}: .*api: messages"):
        RemoteSpec.model_validate({**GOOD, "api": "messages", **fields})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"space": "s"}, "space: .*text-ranking"),
        ({"ranking_api": "tei"}, "ranking_api: .*text-ranking"),
        ({"task": "feature-extraction", "ranking_api": "tei"}, "ranking_api: .*text-ranking"),
        ({"task": "text-ranking", "api": "messages"}, "task: text-ranking .*api: messages"),
    ],
)
def test_what_only_models_that_score_have_does_not_go_with_another_task(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        RemoteSpec.model_validate({**GOOD, **fields})


def test_the_key_goes_where_the_format_has_it_unless_another_header_is_named() -> None:
    headers = [
        RemoteSpec.model_validate({**GOOD, **more}).key_header
        for more in ({}, {"api": "messages"}, {"api": "messages", "api_key_header": "Authorization"})
    ]

    assert headers == ["authorization", "x-api-key", "authorization"]


def test_the_query_of_a_remote_model_is_logged_by_its_names_only() -> None:
    policy = PolicySettings().with_overrides({"remotes": {"a": {**GOOD, "query": {"sig": "secret"}}}}, {})

    assert policy.to_log()["remotes"]["a"]["query"] == ["sig"]


def test_a_header_is_given_once() -> None:
    with pytest.raises(ValidationError, match="twice"):
        RemoteSpec.model_validate({**GOOD, "headers": {"X-Key": "a"}, "header_env": {"x-key": "KEY"}})


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ({"backup_model": "nobody"}, "backup_model"),
        ({"remotes": {"a": {**GOOD, "fallbacks": ["a"]}}}, "a"),
        ({"models": {"a": {"fallbacks": ["a"]}}}, "a"),
        ({"remotes": {"a": GOOD}, "models": {"a": {"fallbacks": ["b"]}}}, "models.a"),
        ({"remotes": {"Not A Name": GOOD}}, "remotes"),
    ],
)
def test_names_that_do_not_fit_together_are_named(policy: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        PolicySettings().with_overrides(policy, {})


def test_fallbacks_are_those_of_the_remote_or_of_the_model() -> None:
    policy = PolicySettings().with_overrides(
        {"remotes": {"a": {**GOOD, "fallbacks": ["b"]}}, "models": {"c": {"fallbacks": ["a", "d"]}}}, {}
    )

    assert (policy.fallbacks_of("a"), policy.fallbacks_of("c"), policy.fallbacks_of("x")) == (("b",), ("a", "d"), ())
