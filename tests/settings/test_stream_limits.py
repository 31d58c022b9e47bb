"""What may be said of the silences of one model: in `models`, and of a remote model where it is declared."""

from typing import Any

import pytest

from deployments.policy.continuation import StreamLimits
from deployments.settings import PolicySettings, SettingsError

REMOTE = {"base_url": "https://api.example.com/v1", "model": "x"}
LIMITS = {"first_content_seconds": 20.0, "reasoning_seconds": 120.0, "stall_seconds": 30.0}


def policy(**sections: Any) -> PolicySettings:
    return PolicySettings().with_overrides(sections, {})


def test_a_model_and_a_remote_model_have_their_own_limits_and_others_the_policys() -> None:
    given = policy(
        remotes={"hosted": {**REMOTE, **LIMITS}, "plain": REMOTE}, models={"a": {"stall_seconds": 3}, "b": {}}
    )

    assert given.stream_limits() == {"hosted": StreamLimits(20.0, 120.0, 30.0), "a": StreamLimits(None, None, 3.0)}


@pytest.mark.parametrize("key", LIMITS)
@pytest.mark.parametrize("value", [0, -1, "soon", True, 1e9])
def test_a_limit_that_is_no_time_is_named(key: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"models.a.{key}"):
        policy(models={"a": {key: value}})
