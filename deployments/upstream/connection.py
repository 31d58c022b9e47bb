"""The connections to one upstream, and the secrets that they carry."""

import os
import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import aiohttp
import orjson

from deployments.settings.remotes import RemoteSpec
from deployments.upstream.redaction import Redactor


class Connection:
    """Pooled connections to one upstream, opened as they are needed.

    Attributes:
        in_flight: requests under way.
    """

    def __init__(self, spec: RemoteSpec) -> None:
        """Get ready to connect to the upstream of `spec`."""
        self.in_flight = 0
        self._spec = spec
        self._url = f"{spec.base_url.rstrip('/')}/chat/completions"
        self._session: aiohttp.ClientSession | None = None
        self._retired = False

    def post(self, body: Mapping[str, Any]) -> "Post":
        """Return a context manager that sends `body` and gives the response."""
        return Post(self, orjson.dumps(body))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def retire(self) -> None:
        """Close all connections once the requests under way have ended."""
        self._retired = True
        if not self.in_flight:
            await self.aclose()

    async def begin(self, body: bytes) -> aiohttp.ClientResponse:
        """Send `body` and return the response once its head is there. Errors of aiohttp are raised."""
        # Redirects are not followed: the key would be sent to their target.
        return await self._connected().post(self._url, data=aiohttp.BytesPayload(body), allow_redirects=False)

    async def ended(self) -> None:
        """Count a request as ended."""
        self.in_flight -= 1
        if self._retired and not self.in_flight:
            await self.aclose()

    @cached_property
    def lacks(self) -> str:
        """The first environment variable of the spec that is not set; empty where all are set."""
        return next((name for name in self._variables if name not in self._environment), "")

    @cached_property
    def redactor(self) -> Redactor:
        """The redactor of the secrets that requests carry."""
        return Redactor(self._environment.values())

    @property
    def _variables(self) -> list[str]:
        return [name for name in (self._spec.api_key_env, *self._spec.header_env.values()) if name]

    @cached_property
    def _environment(self) -> dict[str, str]:
        # White space around a key comes from reading the key from a file, and is not part of it.
        found = {name: os.environ.get(name, "").strip() for name in self._variables}
        return {name: value for name, value in found.items() if value}

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            spec = self._spec
            tls: ssl.SSLContext | bool = True
            if spec.tls_ca_file is not None:
                tls = ssl.create_default_context(cafile=spec.tls_ca_file)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=spec.max_connections, ssl=tls),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=spec.connect_timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers(),
                auto_decompress=False,
                max_line_size=spec.max_header_bytes,
                max_field_size=spec.max_header_bytes,
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        key = self._environment.get(self._spec.api_key_env or "", "")
        return {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            # No compression: a small response could expand to any size.
            "accept-encoding": "identity",
            "user-agent": "neverblank",
            **({"authorization": f"Bearer {key}"} if key else {}),
            **self._spec.headers,
            **{name: self._environment[variable] for name, variable in self._spec.header_env.items()},
        }


class Post:
    """One request: a context manager that counts it as in flight and gives its response."""

    def __init__(self, connection: Connection, body: bytes) -> None:
        """Get ready to send `body`."""
        self._connection = connection
        self._body = body
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        """Send the request and return the response once its head is there. Errors of aiohttp are raised."""
        self._connection.in_flight += 1
        try:
            self._response = await self._connection.begin(self._body)
        except BaseException:
            await self._connection.ended()
            raise
        return self._response

    async def __aexit__(self, *_: object) -> None:
        """Close the response. Its connection stays in the pool only if the response was read to its end."""
        assert self._response is not None  # noqa: S101 - it was entered
        self._response.close()
        await self._connection.ended()
