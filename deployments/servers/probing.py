"""Ports for servers, and short questions to them: are you well, and do you answer at all?"""

import http.client
import json
import socket
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_OK = 200
_ERROR = 500


@dataclass(frozen=True, slots=True)
class ReservedPort:
    """A free port of loopback that nobody else is given by chance.

    Attributes:
        number: the port.
    """

    number: int
    _holder: socket.socket | None = None

    @classmethod
    def reserve(cls, *, hold: bool) -> "ReservedPort":
        """Find a free port.

        Args:
            hold: keep it bound, and do not listen. The kernel then gives it to nobody who asks for any port, and a
                server that is told to listen on it still may, as nearly all servers reuse addresses. For one that does
                not, the port has to be free.
        """
        holder = socket.socket()
        if hold:
            for option in (socket.SO_REUSEADDR, getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR)):
                holder.setsockopt(socket.SOL_SOCKET, option, 1)
        holder.bind((LOOPBACK, 0))
        number = holder.getsockname()[1]
        if hold:
            return cls(number, holder)
        holder.close()
        return cls(number)

    def release(self) -> None:
        """Let others have it."""
        if self._holder is not None:
            self._holder.close()


def is_healthy(port: int, path: str, timeout_s: float) -> bool:
    """Whether the server on `port` answers 200 at `path` within `timeout_s` seconds."""
    return _status(port, "GET", path, b"", timeout_s) == _OK


def answers_at_all(port: int, path: str, model: str, timeout_s: float) -> bool:
    """Whether the server on `port` writes a token at `path` within `timeout_s` seconds, or says why it does not.

    A refusal, for being full or for anything else, shows that it is at work.
    """
    question = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    status = _status(port, "POST", path, json.dumps(question).encode(), timeout_s)
    return status is not None and (status < _ERROR or status == http.HTTPStatus.SERVICE_UNAVAILABLE)


def _status(port: int, method: str, path: str, body: bytes, timeout_s: float) -> int | None:
    """Return the status of a response; `None` where there is none."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request(method, path, body or None, {"content-type": "application/json"} if body else {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
