"""What is told of many keys: counts of all of them, and a few by their names."""

from typing import Any

import pytest

from deployments.access.holder import Holder
from deployments.access.keyring import Keyring
from deployments.access.overview import MOST_TOLD, KeyOverview
from deployments.settings.keys import KeySpec

MANY = 10_000
HASH = f"sha256${'0' * 32}${'0' * 64}"


@pytest.fixture(scope="module")
def many() -> Keyring:
    """Ten thousand keys with limits, each of which names a model that nobody knows."""
    made: dict[str, Any] = {"requests_per_minute": 9, "hash": HASH}
    keys = {f"k{n}": KeySpec.model_validate({**made, "id": f"{n:012x}", "models": [f"m{n}"]}) for n in range(MANY)}
    return Keyring(keys)


def test_of_ten_thousand_keys_a_few_are_told_and_no_more_are_looked_at(many: Keyring) -> None:
    looked_at: list[Holder] = []
    looked_up: list[str] = []

    def describe(holder: Holder) -> dict[str, Any]:
        looked_at.append(holder)
        return {}

    def knows(model: str) -> bool:
        looked_up.append(model)
        return False

    told = KeyOverview().describe(many, knows, describe)

    assert (told["keys"], told["with_limits"]) == (MANY, MANY)
    assert len(told["used"]) == len(looked_at) == len(told["unknown_models"]) == MOST_TOLD
    assert len(looked_up) <= MANY / 10


def test_the_keys_that_have_asked_lately_are_told_first(many: Keyring) -> None:
    overview, asked = KeyOverview(), many.limited[-1]
    for holder in (asked, *many.limited[1000 : 1000 + MOST_TOLD - 1]):
        overview.asked(holder)

    assert asked.name in overview.describe(many, lambda _: True, lambda _: {})["used"]

    overview.asked(many.limited[5000])
    assert asked.name not in overview.describe(many, lambda _: True, lambda _: {})["used"]


def test_refusals_of_ever_more_keys_are_counted_and_the_later_ones_together(many: Keyring) -> None:
    overview = KeyOverview()
    for number in range(MANY):
        overview.refused(f"k{number}")

    refused = overview.describe(many, lambda _: True, lambda _: {})["refused"]

    assert (len(refused), sum(refused.values())) == (MOST_TOLD + 1, MANY)


def test_a_key_that_was_revoked_is_told_no_more(many: Keyring) -> None:
    overview = KeyOverview()
    overview.asked(many.limited[0])

    assert overview.describe(Keyring({}), lambda _: True, lambda _: {})["used"] == {}
