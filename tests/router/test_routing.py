"""What the chain of a request gets from the policy and from what is known of the models."""

from typing import Any

import pytest
from msgspec.structs import replace

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.continuation import StreamLimits
from deployments.policy.outcome import Answered
from deployments.policy.permit import Permit
from deployments.policy.terms import ANY_TERMS
from deployments.router.router import Router
from deployments.settings import PolicySettings
from tests.fakes import a_request, answers, scripted
from tests.router.test_remotes import NoModels

HOSTED = {"base_url": "https://api.example.com/v1", "model": "x", "stall_seconds": 30, "fallbacks": ["b"]}


def a_router(**policy: Any) -> Router:
    backup: Any = scripted(answers())
    return Router(NoModels(), backup, "backup", PolicySettings().with_overrides(policy, {}))


@pytest.mark.parametrize("stream", [True, False])
def test_a_chain_has_the_limits_of_its_streams_and_the_deadline_that_requests_usually_have(*, stream: bool) -> None:
    router = a_router(remotes={"hosted": HOSTED}, streams={"reasoning_seconds": 90}, timeout_seconds=20)

    chain = router._chains.chain(replace(a_request(), model="hosted", stream=stream), router._policy, 0.0)

    assert chain.usual_s == 20.0
    assert chain.reasoning_s == (90.0 if stream else float("inf"))
    assert chain.limits == ({"hosted": StreamLimits(stall_s=30.0)} if stream else {})


def test_a_hedge_waits_until_the_next_candidate_could_have_answered() -> None:
    router = a_router(remotes={"hosted": HOSTED})
    for model, seconds in (("hosted", 0.2), ("b", 0.7), ("backup", 3.0)):
        candidate = Candidate(Tier.BACKUP if model == "backup" else Tier.PRIMARY, model)
        for _ in range(20):
            permit = router._resilience.admit(candidate, Why.NEXT, 0.0, ANY_TERMS, direct=False)
            assert isinstance(permit, Permit)
            router._resilience.record(permit, Answered("x"), seconds)

    chain = router._chains.chain(replace(a_request(), model="hosted"), router._policy, 0.0)

    assert chain.hedge_after_s == 0.7
