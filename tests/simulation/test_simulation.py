"""Ten thousand worlds, each of one seed, and after each of them everything that has to be true is."""

import os
from pathlib import Path

import pytest

from tests.simulation.__main__ import tell
from tests.simulation.many import check_range, check_seed
from tests.simulation.sometimes import every
from tests.simulation.world import draw_world, run_world

SEEDS = 10_000
"""Runs of `make test`; two cores that do nothing else take between one minute and two for them."""

FIRST_OF_SOAK = 1_000_000
"""The soak repeats none of them."""

MEASURES_PROCESSES = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""What makes coverage measure the processes that a test starts."""

KNOWN = [
    int(line)
    for line in (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("seed", KNOWN)
def test_a_seed_that_has_failed_once_fails_no_more(seed: int) -> None:
    tally = check_seed(seed)

    assert not tally.failed, tally.explain()


def test_one_seed_is_one_run() -> None:
    """Whatever else has run in the process before, and in which order."""
    first, second = ("\n".join(tell(run_world(draw_world(17)))) for _ in range(2))

    assert first == second
    assert "is answered" in first


@pytest.mark.timeout(1800)  # at idle priority, beside real services
def test_in_ten_thousand_worlds_every_request_is_answered_and_every_rare_state_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What these processes run is measured in the tests above, too; measured here, they would take twice as long.
    for variable in MEASURES_PROCESSES:
        monkeypatch.delenv(variable, raising=False)
    _check(0, SEEDS)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_in_a_million_worlds_every_request_is_answered_and_every_rare_state_is_reached() -> None:
    _check(FIRST_OF_SOAK, int(os.environ.get("SIMULATION_SEEDS", "1000000")))


def _check(first: int, count: int) -> None:
    tally = check_range(first, count)
    print(f"{tally.seeds} worlds, {tally.requests} requests; {dict(sorted(tally.reached.items()))}")  # noqa: T201

    assert not tally.failed, tally.explain()
    assert count < SEEDS or every() - tally.reached.keys() == set(), "never reached"
