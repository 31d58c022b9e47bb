"""Which replicas get no calls for a while, as they fail every one."""

from deployments.policy.ejection import FAILED_S, FAILURES, FIRST_S, LOADING_S, LONGEST_S, MOST, Ejections


def ejected_at(state: Ejections, now: float) -> list[bool]:
    """What a row of failures at `now` comes to, one by one."""
    return [state.failed("a", now) for _ in range(FAILURES)]


def test_a_row_of_failures_ejects_a_replica_and_an_answer_between_them_does_not() -> None:
    state = Ejections()
    for _ in range(FAILURES - 1):
        state.failed("a", 1.0)
    state.answered("a")

    assert ejected_at(state, 1.0) == [False] * (FAILURES - 1) + [True]
    assert state.is_passed_over("a", 1.0)
    assert not state.is_passed_over("b", 1.0)
    assert not state.is_passed_over("a", 1.0 + FIRST_S)


def test_a_replica_that_fails_again_is_passed_over_at_once_and_for_twice_as_long_up_to_a_bound() -> None:
    state, now, lasts = Ejections(), 0.0, []
    ejected_at(state, now)
    for _ in range(6):
        while state.is_passed_over("a", now):
            now += 1.0
        began = now
        assert state.failed("a", now)
        while state.is_passed_over("a", now):
            now += 1.0
        lasts.append(now - began)

    assert lasts == [60.0, 120.0, 240.0, LONGEST_S, LONGEST_S, LONGEST_S]


def test_an_answer_ends_the_ejection_and_its_history() -> None:
    state = Ejections()
    ejected_at(state, 0.0)

    state.answered("a")

    assert not state.is_passed_over("a", 1.0)
    assert ejected_at(state, 1.0)[-1]
    assert not state.is_passed_over("a", 1.0 + FIRST_S)


def test_only_so_many_replicas_are_remembered() -> None:
    state = Ejections()
    for number in range(2 * MOST):
        state.failed(str(number), 0.0)

    assert len(state._rows) == MOST


def test_a_replica_that_loads_is_passed_over_for_a_moment_and_has_failed_nothing() -> None:
    state = Ejections()
    for now in (0.0, 0.5, 1.0):
        state.loads("a", now)

    assert state.is_passed_over("a", 1.0 + LOADING_S - 0.1)
    assert not state.is_passed_over("a", 1.0 + LOADING_S)
    assert not state.failed("a", 2.0 + LOADING_S)


def test_a_replica_that_has_failed_is_passed_over_while_the_retry_is_due_and_ejected_by_failures_of_one_moment() -> (
    None
):
    state = Ejections()
    state.failed("a", 1.0)
    resting = [state.is_passed_over("a", now) for now in (1.0, 1.0 + FAILED_S)]
    ejected = [state.failed("a", 1.1) for _ in range(FAILURES - 1)]

    assert resting == [True, False]
    assert ejected[-1]
