"""The connections to one endpoint of an upstream, and the secrets that they carry.

A server may close a connection that is idle in the pool at the moment at which it is used again. That says nothing
about the server: the request is sent once more, on a fresh connection, and never a second time.
"""

import os
import socket
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from yarl import URL

from deployments.observability.chores import close_all
from deployments.settings.remotes import EndpointSpec, RemoteSpec
from deployments.upstream.formats import REMOTE_FORMATS

if TYPE_CHECKING:
    from aiohttp.connector import AddrInfoType

_opened: ContextVar[list[socket.socket]] = ContextVar("opened")
"""The sockets that were opened for the request that is being sent: none for one whose connection came from the pool."""


class Connection:
    """Pooled connections to one endpoint, opened as they are needed.

    Attributes:
        in_flight: requests under way.
    """

    def __init__(self, spec: RemoteSpec, endpoint: EndpointSpec) -> None:
        """Get ready to connect to `endpoint`, one of the upstream of `spec`."""
        self.in_flight = 0
        self._spec, self._endpoint = spec, endpoint
        self._urls = {path: self._url_of(path) for path in REMOTE_FORMATS[spec.api].paths}
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._retired = False

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> "Post":
        """Return the request that sends `body` to `path`, with `headers` beside the spec's."""
        return Post(self, self._urls[path], orjson.dumps(body), headers)

    async def aclose(self) -> None:
        """Close all connections."""
        sessions = [session for session in (self._session, self._fresh) if session is not None]
        self._session = self._fresh = None  # a request that still comes opens its own
        self._retired = True
        await close_all("upstreams", *(session.close for session in sessions))

    async def retire(self) -> None:
        """Close all connections once the requests under way have ended.

        An attempt that is under way may still come to this endpoint from another one: its connections are closed
        behind it.
        """
        self._retired = True
        if not self.in_flight:
            await self.aclose()

    async def begin(self, url: URL, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send `body` to `url` and return the response once its head is there. Errors of aiohttp are raised."""
        if self._session is None:
            self._session = self._open()
        opened: list[socket.socket] = []
        _opened.set(opened)
        # Redirects are not followed: the key would be sent to their target.
        options: Any = {"data": aiohttp.BytesPayload(body), "headers": headers, "allow_redirects": False}
        try:
            return await self._session.post(url, **options)
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            if opened or not _is_stale(error):
                raise
        if self._fresh is None:
            self._fresh = self._open(force_close=True)
        return await self._fresh.post(url, **{**options, "data": aiohttp.BytesPayload(body)})

    async def ended(self) -> None:
        """Count a request as ended."""
        self.in_flight -= 1
        if self._retired and not self.in_flight:
            await self.aclose()

    @cached_property
    def lacks(self) -> str:
        """The first environment variable of the spec that is not set; empty where all are set."""
        return next((name for name in self._variables if name not in self._environment), "")

    @property
    def secrets(self) -> list[str]:
        """The values that requests carry and nobody may read."""
        return [*self._environment.values(), *self._spec.headers.values()]

    @cached_property
    def further(self) -> dict[str, str]:
        """The headers that the operator has set, by their names in lower case."""
        by_variable = {name: self._environment[variable] for name, variable in self._spec.header_env.items()}
        return {name.lower(): value for name, value in {**self._spec.headers, **by_variable}.items()}

    @property
    def _variables(self) -> list[str]:
        return [name for name in (self._endpoint.api_key_env, *self._spec.header_env.values()) if name]

    @cached_property
    def _environment(self) -> dict[str, str]:
        # White space around a key comes from reading the key from a file, and is not part of it.
        found = {name: os.environ.get(name, "").strip() for name in self._variables}
        return {name: value for name, value in found.items() if value}

    def _url_of(self, path: str) -> URL:
        url = URL(f"{self._endpoint.base_url.rstrip('/')}/{path}")
        return url.with_query(dict(self._spec.query)) if self._spec.query else url

    def _open(self, **options: Any) -> aiohttp.ClientSession:
        spec = self._spec
        tls: ssl.SSLContext | bool = True
        if spec.tls_ca_file is not None:
            tls = ssl.create_default_context(cafile=spec.tls_ca_file)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=spec.max_connections, ssl=tls, socket_factory=_open_socket, **options),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=spec.connect_timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers(),
            auto_decompress=False,
            max_line_size=spec.max_header_bytes,
            max_field_size=spec.max_header_bytes,
        )

    def _headers(self) -> dict[str, str]:
        name, key = self._spec.key_header, self._environment.get(self._endpoint.api_key_env or "", "")
        return {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            # No compression: a small response could expand to any size.
            "accept-encoding": "identity",
            "user-agent": "neverblank",
            **({name: f"Bearer {key}" if name == "authorization" else key} if key else {}),
            **self.further,
        }


class Post:
    """One request, which counts as in flight from `open` to `aclose`."""

    def __init__(self, connection: Connection, url: URL, body: bytes, headers: Mapping[str, str]) -> None:
        """Get ready to send `body` to `url` with `headers`."""
        self._connection, self._url = connection, url
        self._body, self._headers = body, headers
        self._response: aiohttp.ClientResponse | None = None

    async def open(self) -> aiohttp.ClientResponse:
        """Send the request and return the response once its head is there. Errors of aiohttp are raised."""
        self._connection.in_flight += 1
        self._response = await self._connection.begin(self._url, self._body, self._headers)
        return self._response

    async def aclose(self) -> None:
        """Close the response. Its connection stays in the pool only if the response was read to its end."""
        if self._response is not None:
            self._response.close()
        await self._connection.ended()


def _open_socket(address: "AddrInfoType") -> socket.socket:
    """Open a socket for a new connection, and note it."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    _opened.get().append(opened)
    return opened


def _is_stale(error: BaseException) -> bool:
    """Return whether `error` came before any byte of a response."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # else it is the part of a response that had come
    return isinstance(error, (ConnectionError, aiohttp.ClientOSError))
