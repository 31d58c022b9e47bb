"""The HTTP server that Serve starts for a router, and the headers that leave time-outs and disconnects to the router.

Serve asks the router for its ASGI application, starts uvicorn with it, and watches each request: for its caller to go,
and for a time-out of Serve's own. For each request that takes Serve two tasks, a queue and a timer, unless the headers
say that the application watches by itself.
"""

import uvicorn.config

LEFT_TO_THE_ROUTER = [(b"x-request-disconnect-disabled", b"?1"), (b"x-request-timeout-seconds", b"0")]
"""Headers that tell Serve to watch neither the caller nor the clock. They go behind the caller's own headers: Serve
makes a dictionary of all headers, so that the last of one name counts."""


def serve_http_with(protocol: str) -> None:
    """Have the HTTP servers that are started from now on in this process speak through the class `protocol`.

    Serve starts uvicorn itself and leaves the choice of the protocol to uvicorn, which looks it up under `auto`.

    Args:
        protocol: the import path of a subclass of uvicorn's protocol, as `module:class`.
    """
    uvicorn.config.HTTP_PROTOCOLS["auto"] = protocol
