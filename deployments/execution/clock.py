"""The time that deadlines are kept by: the running event loop's."""

import asyncio

SHORTEST_TIMER_S = 1e-4
"""The shortest timer, in seconds. A clock may round a shorter one to nothing, so that it fires again at once."""


def loop_time() -> float:
    """Return the time of the running event loop, in seconds."""
    return asyncio.get_running_loop().time()
