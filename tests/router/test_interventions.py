"""What an operator does by hand: drain, hold, reset, and send a share of the traffic to the backup."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from deployments.policy.attempt import Candidate, Tier, Why
from deployments.policy.outcome import Failed
from deployments.policy.permit import Permit
from deployments.policy.problem import InvalidRequestError
from deployments.policy.terms import Terms
from deployments.request.acts import Act, ActKind
from deployments.router.interventions import MOST_MODELS, Hands
from tests.router.test_drills import answered, ask, two_models
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream


def tried(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(attempt["model"], attempt["outcome"]) for attempt in told["attempts"]]


@pytest.mark.parametrize("kind", ["hold", "drain"])
async def test_a_model_that_is_held_or_drained_is_not_asked_until_it_is_released(
    faulty: FaultyUpstream, kind: str
) -> None:
    async with two_models(faulty) as router:
        await router.own_act(kind, "first", 0.0, 1.0)
        _, told = answered(await ask(router))
        await router.own_act("release", "first", 0.0, 2.0)
        _, later = answered(await ask(router))

    assert tried(told) == [("first", "refused"), ("second", "answered")]
    assert "by the operator" in told["attempts"][0]["reason"]
    assert tried(later) == [("first", "answered")]


async def test_the_share_that_is_sent_to_the_backup_begins_there_and_the_others_do_not(faulty: FaultyUpstream) -> None:
    async with two_models(faulty) as router:
        await router.own_act("shift", "", 1.0, 1.0)
        _, all_of_them = answered(await ask(router))
        await router.own_act("shift", "", 0.0, 2.0)
        _, none_of_them = answered(await ask(router))

    assert all_of_them["served_by"] == "backup"
    assert tried(none_of_them) == [("first", "answered")]


async def test_where_the_backup_fails_the_model_that_was_passed_by_is_asked(faulty: FaultyUpstream) -> None:
    async with two_models(faulty) as router:
        await router.own_act("shift", "", 1.0, 1.0)
        _, told = answered(await ask(router, "error@backup"))

    assert told["served_by"] == "primary"
    assert told["attempts"][-1]["why"] == "behind"


async def test_where_the_backup_hangs_the_model_that_was_passed_by_answers_before_the_deadline(
    faulty: FaultyUpstream,
) -> None:
    async with two_models(faulty) as router:
        await router.own_act("shift", "", 1.0, 1.0)
        _, told = answered(await ask(router, "hang@backup", timeout=1.0))

    assert told["served_by"] == "primary"


async def test_where_the_stream_of_the_backup_breaks_the_model_that_was_passed_by_continues_it(
    faulty: FaultyUpstream,
) -> None:
    async with two_models(faulty, backup_model="second") as router:
        await router.own_act("shift", "", 1.0, 1.0)
        text, told = answered(await ask(router, "cut:2@second, error@backup", stream=True))

    assert text.startswith(" ".join(TEXT.split()[:2]))
    assert (told["served_by"], told["attempts"][-1]["model"]) == ("primary", "first")


async def test_a_breaker_that_is_reset_lets_the_next_request_through(faulty: FaultyUpstream) -> None:
    async with two_models(faulty, breaker={"failures": 1}, retries={"max": 0}) as router:
        resilience = router._resilience
        permit = resilience.admit(Candidate(Tier.PRIMARY, "first"), Why.NEXT, 1.0, Terms(), direct=True)
        assert isinstance(permit, Permit)
        resilience.record(permit, Failed("it broke"), 2.0)
        opened = router.describe()["models"]["first"]["breaker"]
        await router.own_act("reset", "first", 0.0, 1.0)

        assert (opened, router.describe()["models"]["first"]["breaker"]) == ("open", "closed")


ACTS = [
    (Act(ActKind.HOLD, "a"), 1.0),
    (Act(ActKind.SHIFT, share=0.5), 2.0),
    (Act(ActKind.DRAIN, "b"), 3.0),
    (Act(ActKind.RELEASE, "a"), 4.0),
]
AFTER_ACTS = ({"b": "drained"}, 0.5, 4.0)


def what_holds(hands: Hands) -> tuple[dict[str, str], float, float]:
    told = hands.describe()
    return told["holds"], told["backup_share"], told["changed_at"]


@pytest.mark.parametrize("acts", list(permutations(ACTS)), ids=lambda acts: "-".join(str(int(at)) for _, at in acts))
def test_in_whatever_order_routers_hear_of_acts_the_same_holds_in_all(acts: Sequence[tuple[Act, float]]) -> None:
    hands = Hands()

    for act, at in acts:
        hands.do(act, at)

    assert what_holds(hands) == AFTER_ACTS


def test_routers_that_have_missed_acts_of_each_other_come_to_the_same() -> None:
    one, other = Hands(), Hands()
    for number, (act, at) in enumerate(ACTS):
        (one, other)[number % 2].do(act, at)

    one.adopt(other.describe())
    other.adopt(one.describe())

    assert what_holds(one) == what_holds(other) == AFTER_ACTS


def test_a_router_of_the_version_before_is_believed_as_a_whole_where_it_is_newer() -> None:
    hands = Hands()
    hands.do(Act(ActKind.HOLD, "a"), 2.0)

    hands.adopt({"holds": {}, "backup_share": 0.5, "changed_at": 1.0})
    before = what_holds(hands)
    hands.adopt({"holds": {"b": "held"}, "backup_share": 0.5, "changed_at": 3.0})

    assert (before, what_holds(hands)) == (({"a": "held"}, 0.0, 2.0), ({"b": "held"}, 0.5, 3.0))


def test_of_models_that_were_released_only_so_many_are_remembered() -> None:
    hands = Hands()
    for number in range(3 * MOST_MODELS):
        hands.do(Act(ActKind.RELEASE, f"model-{number}"), float(number + 1))

    assert len(hands.describe()["acted"]) == MOST_MODELS


def test_the_number_of_models_that_are_held_has_a_bound() -> None:
    hands = Hands()
    for number in range(MOST_MODELS):
        hands.do(Act(ActKind.DRAIN, f"model-{number}"), float(number + 1))

    with pytest.raises(InvalidRequestError, match="one more than"):
        hands.do(Act(ActKind.DRAIN, "another"), MOST_MODELS + 1.0)
    hands.do(Act(ActKind.HOLD, "model-0"), MOST_MODELS + 2.0)
    assert len(hands.describe()["holds"]) == MOST_MODELS
