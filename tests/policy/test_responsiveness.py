"""Who is pinged, who counts as unresponsive, and for how long."""

from deployments.policy.responsiveness import LATE_S, ReplicaPolicy, Responsiveness

POLICY = ReplicaPolicy()
HOSTS = {"a": "h1", "b": "h1", "c": "h2", "d": "h2"}


def watched() -> Responsiveness:
    state = Responsiveness()
    state.update(HOSTS)
    return state


def test_only_who_owes_an_answer_is_pinged_and_again_only_after_a_while() -> None:
    state = watched()

    assert state.due(POLICY, (), 10.0) == []
    assert state.due(POLICY, {"c"}, 10.0) == ["c"]
    assert state.due(POLICY, {"c"}, 10.25) == [], "it has not answered yet"
    state.answered("c")
    assert state.due(POLICY, {"c"}, 10.25) == []
    assert state.due(POLICY, {"c"}, 10.5) == ["c"]


def test_the_rest_of_a_host_is_pinged_once_one_of_it_is_late_with_its_answer() -> None:
    state = watched()
    state.due(POLICY, {"c"}, 10.0)

    assert state.due(POLICY, {"c"}, 10.25) == []
    assert state.due(POLICY, {"c"}, 10.5) == ["d"]


def test_who_does_not_answer_is_unresponsive_until_there_is_an_answer_and_pinged_meanwhile() -> None:
    state = watched()
    state.due(POLICY, {"c"}, 10.0)

    assert state.unanswered("c")
    assert state.unresponsive == {"c"}
    assert set(state.due(POLICY, (), 11.0)) == {"c", "d"}
    assert not state.unanswered("c"), "that is no news"
    state.due(POLICY, (), 12.0)
    assert state.answered("c")
    assert state.unresponsive == frozenset()
    state.answered("d")
    assert state.due(POLICY, (), 13.0) == []


def test_a_replica_whose_process_lives_is_neither_silent_nor_known_to_answer() -> None:
    state = watched()
    state.due(POLICY, {"c"}, 10.0)
    state.busy("c")

    assert state.unresponsive == frozenset()
    assert state.due(POLICY, {"c"}, 10.25) == []
    assert state.due(POLICY, {"c"}, 10.5) == ["c"]


def test_a_ping_that_was_looked_after_too_late_says_nothing_and_is_repeated_at_once() -> None:
    state = watched()
    state.due(POLICY, {"c"}, 10.0)

    assert not state.unanswered("c", LATE_S + 0.01)
    assert state.unresponsive == frozenset()
    assert state.due(POLICY, {"c"}, 11.3) == ["c"]


def test_a_replica_that_is_new_on_a_host_of_which_nobody_answers_is_unresponsive_until_it_answers() -> None:
    state = watched()
    for actor in ("c", "d"):
        state.unanswered(actor)

    state.update({**HOSTS, "e": "h2", "f": "h1"})

    assert state.unresponsive == {"c", "d", "e"}
    assert "e" in state.due(POLICY, (), 20.0)
    assert state.answered("e")


def test_a_replica_that_has_gone_is_forgotten() -> None:
    state = watched()
    state.unanswered("c")

    state.update({"a": "h1"})

    assert state.unresponsive == frozenset()
    assert not state.answered("c")
    assert not state.unanswered("c")
