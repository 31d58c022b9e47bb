"""A model that loads in the background, and what is said of it meanwhile."""

import threading
from types import SimpleNamespace
from typing import Any

from deployments.formats import LoadProgress
from deployments.policy.outcome import Refused
from deployments.replica.loading import BackgroundLoad


def test_what_is_said_of_a_model_that_loads_is_how_long_it_has_been_at_it() -> None:
    now, go_on = [100.0], threading.Event()

    def wait() -> Any:
        go_on.wait()
        return SimpleNamespace(describe=dict)

    load = BackgroundLoad("m", wait, 60.0, LoadProgress(lambda: now[0]))
    now[0] = 140.0

    assert load.model == Refused("not ready: loading its weights, 40 s so far", soon=True)
    assert load.describe() == {"state": "loading", "reason": "loading its weights, 40 s so far"}
    go_on.set()
