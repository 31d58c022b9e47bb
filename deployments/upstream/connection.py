"""The connections to one upstream, and the secrets they carry."""

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
    """Pooled connections, made as they are needed.

    Attributes:
        in_flight: requests under way.
    """

    def __init__(self, spec: RemoteSpec) -> None:
        """Be ready to connect to `spec`."""
        self.in_flight = 0
        self._spec = spec
        self._url = f"{spec.base_url.rstrip('/')}/chat/completions"
        self._session: aiohttp.ClientSession | None = None
        self._retired = False

    def post(self, body: Mapping[str, Any]) -> "Post":
        """Send `body`, within an `async with` that gives the response."""
        return Post(self, orjson.dumps(body))

    async def aclose(self) -> None:
        """Close all of them."""
        if self._session is not None:
            await self._session.close()

    async def retire(self) -> None:
        """Close all of them, once what is under way has ended."""
        self._retired = True
        if not self.in_flight:
            await self.aclose()

    async def begin(self, body: bytes) -> aiohttp.ClientResponse:
        """Send `body`; gives the response once its head is there. What aiohttp raises is raised."""
        # Redirects are not followed: they would carry the key to wherever they lead.
        return await self._connected().post(self._url, data=aiohttp.BytesPayload(body), allow_redirects=False)

    async def ended(self) -> None:
        """A request that was in flight is not any more."""
        self.in_flight -= 1
        if self._retired and not self.in_flight:
            await self.aclose()

    @cached_property
    def lacks(self) -> str:
        """The first variable that the spec names and the environment does not have; empty where it has all."""
        return next((name for name in self._variables if name not in self._environment), "")

    @cached_property
    def redactor(self) -> Redactor:
        """Knows the secrets."""
        return Redactor(self._environment.values())

    @property
    def _variables(self) -> list[str]:
        return [name for name in (self._spec.api_key_env, *self._spec.header_env.values()) if name]

    @cached_property
    def _environment(self) -> dict[str, str]:
        # White space at the ends comes with reading a key from a file, and is part of none.
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
            # Nothing compressed: a small response could unfold to any size.
            "accept-encoding": "identity",
            "user-agent": "neverblank",
            **({"authorization": f"Bearer {key}"} if key else {}),
            **self._spec.headers,
            **{name: self._environment[variable] for name, variable in self._spec.header_env.items()},
        }


class Post:
    """One request, in flight for as long as it is held."""

    def __init__(self, connection: Connection, body: bytes) -> None:
        """Be ready to send `body`."""
        self._connection = connection
        self._body = body
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        """The response once its head is there. What aiohttp raises is raised."""
        self._connection.in_flight += 1
        try:
            self._response = await self._connection.begin(self._body)
        except BaseException:
            await self._connection.ended()
            raise
        return self._response

    async def __aexit__(self, *_: object) -> None:
        """A response that was read to its end has given its connection back; any other's is closed."""
        assert self._response is not None  # noqa: S101 - it was entered
        self._response.close()
        await self._connection.ended()
