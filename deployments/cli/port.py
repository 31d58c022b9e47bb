"""The port of a service that is about to start: where another program has it, nobody would ever reach the service."""

import os
import socket
from collections.abc import Mapping
from typing import Any

from deployments.ray_serve.names import ADDRESS_VARIABLE
from deployments.settings import SettingsError

_HOST, _PORT = "127.0.0.1", 8000
"""What Serve takes where the config does not say."""


def require_free_port(config: Mapping[str, Any], file: str) -> None:
    """Do nothing where the address that `config`, read from `file`, has for HTTP is free on this machine.

    Nor where `RAY_ADDRESS` says that the service is started on a cluster, whose nodes have the port.

    Raises:
        SettingsError: another program has the port, or this machine has not that address.
    """
    if ADDRESS_VARIABLE in os.environ:
        return
    options = config.get("http_options") or {}
    host, port = options.get("host") or _HOST, options.get("port", _PORT)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are ending keep nobody out
            tried.bind(address)
    except OSError as error:
        accepted = "a port that is free; `neverblank stop` ends a service of this folder"
        raise SettingsError(file, "http_options", f"{host}:{port}: {error.strerror}", accepted) from error
