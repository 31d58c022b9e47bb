"""Ports for servers that a test starts."""

import random
import socket

_OURS = range(20_000, 32_000)
"""Above the ports of Ray's workers, and below those that a system takes for outgoing connections: of these, one that is
free now may be taken before a server has been started on it."""


def free_port() -> int:
    """A port that nobody listens on, on any address."""
    while True:
        port = random.choice(_OURS)  # noqa: S311 - no secret
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("", port))
            except OSError:  # taken
                continue
        return port
