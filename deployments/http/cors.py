"""Cross-origin requests of browsers: answered where the policy names their origins (`http.cors_origins`)."""

from collections.abc import Awaitable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http.service import Service

_TOLD = (
    *("x-neverblank-served-by", "x-neverblank-degraded", "x-neverblank-attempts", "x-neverblank-dropped"),
    *("x-request-id", "retry-after", "x-should-retry"),
    *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    *(f"anthropic-ratelimit-{of}-{what}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
)
"""The headers of an answer that a page may read."""


class Cors:
    """An ASGI application around another one. Where no origin is allowed, it passes every request on as it is."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Allow pages of the origins of `service` to ask `app`; operators may change them while the service runs."""
        self._app = app
        self._service = service
        self._allowing: CORSMiddleware | None = None
        self._allowed: Sequence[str] = ()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. The applications around which this stands are given as they are, without a layer."""
        if not (origins := self._service.cors_origins):
            return self._app(scope, receive, send)
        if self._allowing is None or origins != self._allowed:
            self._allowed = origins
            self._allowing = CORSMiddleware(
                self._app,
                allow_origins=origins,
                allow_methods=("GET", "POST", "DELETE", "OPTIONS"),
                allow_headers=("*",),
                allow_private_network=True,
                expose_headers=_TOLD,
            )
        return self._allowing(scope, receive, send)
