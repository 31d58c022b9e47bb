"""Which hosts the rig's load balancer uses."""

from typing import Any, cast

from tests.cluster.balancer import Balancer


def test_a_host_is_out_of_use_after_two_failures_in_a_row_and_in_use_again_after_five_successes() -> None:
    balancer = Balancer(["a", "b"], cast("Any", None))

    used = []
    for well in (True, False, True, False, False, *(True,) * 4, False, *(True,) * 5, False):
        balancer.note("a", well=well)
        used.append("a" in balancer.usable)

    assert used == [*(True,) * 4, *(False,) * 10, True, True]
    assert "b" in balancer.usable


def test_where_no_connection_can_be_made_another_usable_host_is_next() -> None:
    balancer = Balancer(["a", "b", "c"], cast("Any", None))
    for _ in range(2):
        balancer.note("c", well=False)

    assert {balancer.choose(but="a") for _ in range(6)} == {"b"}
