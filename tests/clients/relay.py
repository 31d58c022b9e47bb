"""Passes bytes between clients and a service, unchanged, and keeps who answered: clients see no part of it.

It needs nothing but Python, as it also runs in the environment of clients whose packages are not ours.
"""

import re
import socket
import threading
from contextlib import suppress

_TIER = re.compile(rb'(?:x-neverblank-served-by: |"served_by":")(\w+)', re.IGNORECASE)
_LONGEST_MATCH = 64
_BUFFER = 1 << 16


class Relay:
    """Listens on a port of its own for clients of the service on another one."""

    def __init__(self, port: int) -> None:
        """Begin to listen for clients of the service at `port`."""
        self._port = port
        self._tiers: list[str] = []
        self._to_break = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """Begin anew with an empty list of who answered."""
        self._tiers.clear()

    def break_next(self, connections: int = 1) -> None:
        """End so many of the next connections when something is sent in them, as a proxy does that restarts."""
        self._to_break = connections

    @property
    def is_whole(self) -> bool:
        """No connection is to be broken any more."""
        return not self._to_break

    def require_models(self) -> None:
        """Require that a model that was asked for has answered, and nobody in its place.

        Raises:
            AssertionError: nobody has answered, or the backup or the last resort has.
        """
        told = [tier for tier in self._tiers if tier != "pending"]
        assert told, "no request has been answered"
        assert set(told) == {"primary"}, f"answered by {told}: a test that passes on that is a failed test"

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                if self._to_break:
                    self._to_break -= 1
                    with client:
                        client.recv(1)
                    continue
                service = socket.create_connection(("127.0.0.1", self._port))
                for source, sink, keep in ((client, service, False), (service, client, True)):
                    threading.Thread(target=self._pass_on, args=(source, sink, keep), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, keep: bool) -> None:  # noqa: FBT001 - of a thread
        last = b""
        with suppress(OSError):  # one side has gone
            while data := source.recv(_BUFFER):
                if keep:
                    last = self._keep(last + data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _keep(self, seen: bytes) -> bytes:
        end = 0
        for found in _TIER.finditer(seen):
            if found.end() < len(seen) or not seen[-1:].isalnum():
                self._tiers.append(found[1].decode())
                end = found.end()
        return seen[end:][-_LONGEST_MATCH:]
