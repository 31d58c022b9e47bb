"""Work that is under way and gives no sign of life has stalled, for as long as that lasts; nothing else has."""

from deployments.generation.progress import Progress
from tests.clock import FakeClock


def test_work_that_gives_no_sign_of_life_has_stalled_since_it_began() -> None:
    clock = FakeClock(10.0)
    progress = Progress(clock)
    clock.now = 500.0
    progress.begin()

    clock.now = 560.0

    assert progress.stalled_s() == 60.0


def test_where_no_work_is_under_way_nothing_has_stalled() -> None:
    clock = FakeClock()
    progress = Progress(clock)
    with progress.work():
        clock.now = 60.0

    clock.now = 500.0

    assert progress.stalled_s() == 0.0


def test_a_sign_of_life_of_one_piece_of_work_is_one_of_all() -> None:
    clock = FakeClock()
    progress = Progress(clock)
    progress.begin()
    progress.begin()
    clock.now = 60.0

    progress.end()

    assert progress.stalled_s() == 0.0


def test_more_work_is_no_sign_of_life_of_the_work_that_hangs() -> None:
    clock = FakeClock()
    progress = Progress(clock)
    progress.begin()
    clock.now = 60.0

    progress.begin()

    assert progress.stalled_s() == 60.0


def test_work_that_was_told_to_stop_is_no_sign_of_life_of_the_rest() -> None:
    clock = FakeClock()
    progress = Progress(clock)
    progress.begin()
    progress.begin()
    clock.now = 60.0

    progress.end(advanced=False)

    assert progress.stalled_s() == 60.0


def test_a_sign_of_life_counts_from_when_it_was_given_and_never_takes_time_back() -> None:
    clock = FakeClock()
    progress = Progress(clock)
    progress.begin()
    clock.now = 60.0

    progress.advance(ago_s=5.0)
    progress.advance(ago_s=30.0)

    assert progress.stalled_s() == 5.0


def test_work_that_is_held_up_by_its_reader_is_not_under_way_until_the_reader_goes_on() -> None:
    clock = FakeClock()
    progress = Progress(clock)
    with progress.work():
        with progress.held_up():
            clock.now = 60.0
            held_up = progress.stalled_s()
        clock.now = 70.0
        gone_on = progress.stalled_s()

    assert (held_up, gone_on) == (0.0, 10.0)
