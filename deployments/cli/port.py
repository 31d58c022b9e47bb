"""Where a service that is started here listens: whether that is free before the start, and when it can be asked."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from rich.console import Console

from deployments.ray_serve.names import ADDRESS_VARIABLE
from deployments.settings import SettingsError

_HOST, _PORT = "127.0.0.1", 8000
"""What Serve takes where the config does not say."""

_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound to it here
"""By what a service is reached from here that listens on every address."""

_INTERVAL_S = 1.0
_ASK_S = 5.0
_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def address_of(config: Mapping[str, Any]) -> tuple[str, int]:
    """The host and the port that a Serve config has for HTTP."""
    options = config.get("http_options") or {}
    return options.get("host") or _HOST, options.get("port", _PORT)


def require_free_port(config: Mapping[str, Any], file: str) -> None:
    """Do nothing where the address that `config`, read from `file`, has for HTTP is free on this machine.

    Nor where `RAY_ADDRESS` says that the service is started on a cluster, whose nodes have the port.

    Raises:
        SettingsError: another program has the port, or this machine has not that address.
    """
    if ADDRESS_VARIABLE in os.environ:
        return
    host, port = address_of(config)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are ending keep nobody out
            tried.bind(address)
    except OSError as error:
        accepted = "a port that is free; `neverblank stop` ends a service of this folder"
        raise SettingsError(file, "http_options", f"{host}:{port}: {error.strerror}", accepted) from error


def announce_when_ready(
    address: tuple[str, int], is_running: Callable[[], bool], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Print one line once a model can answer at `address`, or nothing if the service ends before.

    Nor is anything printed of a service that speaks TLS alone.
    """
    host, port = _REACHED.get(address[0], address[0]), address[1]
    while is_running():
        if _is_ready(host, port):
            shown = f"[{host}]" if ":" in host else host
            _errors.print(
                f"neverblank: ready, see http://{shown}:{port}/ or `neverblank status`; Ctrl-C ends it", style="green"
            )
            return
        sleep(_INTERVAL_S)


def _is_ready(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=_ASK_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):  # nobody listens yet
        return False
    finally:
        connection.close()
