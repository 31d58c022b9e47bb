"""Whether the routers serve what Serve calls ready: they find out within seconds, and until then the backup answers.

`/status` has what each router knows. It is asked until each router that runs has said by the id of its replica that it
serves the models: routers on two nodes may have the same process id.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from deployments.cli.http_client import RefusedError, UnreachableError, fetch_json
from deployments.ray_serve.dashboard import Details, routers_of

_INTERVAL_S = 0.1
_UNREACHABLE_S = 10.0
_ASK_S = 5.0
_AGREED_S = 60.0
_SERVING = {"ready", "idle"}


class NotServedError(Exception):
    """A router has been asked, and not every router has said in time that it serves the models."""


def serves(status: Mapping[str, Any], models: Collection[str]) -> bool:
    """Whether a router of this part of `/status` would ask each of `models`."""
    return all(status["models"].get(model, {}).get("state") in _SERVING for model in models)


def wait_for_routers(
    details: Callable[[], Details],
    models: Collection[str],
    url: str,
    until: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    ask: Callable[[str], Mapping[str, Any]] | None = None,
) -> str:
    """Wait until every router serves `models`.

    Args:
        details: gives Serve's present description.
        models: names of models.
        url: the service's address.
        until: the time at which this is given up, on `clock`; it is after a minute at the latest.
        clock: seconds since any moment.
        sleep: waits that many seconds.
        ask: gives the `/status` at an address.

    Returns:
        Why no router of this cluster could be asked; empty if every router serves them, or if there is no router.

    Raises:
        NotServedError: not every router serves them in time.
    """
    ask = ask or _ask
    agreed: set[str] = set()
    answered, is_asked, trouble = clock(), False, "another service answers there"
    until = min(until, answered + _AGREED_S)
    while not (wanted := routers_of(details())) <= agreed:
        try:
            routers = ask(url)["routers"]
            is_asked |= not wanted.isdisjoint(router["replica"] for router in routers)
            agreed |= {router["replica"] for router in routers if serves(router, models)}
            answered = clock()
        except (
            UnreachableError,
            RefusedError,
            TimeoutError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # or it is another service
            trouble = str(error)
        if clock() > until or clock() - answered > _UNREACHABLE_S:
            if is_asked:
                raise NotServedError(f"{len(wanted - agreed)} of {len(wanted)} routers do not serve them yet")
            return f"no router could be asked whether it serves them: {trouble}"
        sleep(_INTERVAL_S)
    return ""


def _ask(url: str) -> Mapping[str, Any]:
    return asyncio.run(asyncio.wait_for(fetch_json(url, "/status"), _ASK_S))
