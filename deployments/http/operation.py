"""The endpoints of whoever operates the service.

GET  /healthz         this process is alive; 503 when it is about to be replaced
GET  /readyz          which tiers are ready; 200 once every router would answer with a model
GET  /status          models, replicas, breakers and counts of all routers, and what is wrong
GET  /v1/fallbacks    the last answers that another model gave than the one asked for
GET  /status/events   both, once a second
POST /admin/acts      holds, drains or resets a model, moves traffic
"""

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.http.acts import act
from deployments.http.fallback_query import read_fallback_query
from deployments.http.responses import json_response
from deployments.http.service import Service
from deployments.http.status_events import StatusEvents
from deployments.policy.attempt import Tier


def operation_routes(service: Service) -> list[Route]:
    """Return the routes of the endpoints in the module's table."""

    async def healthz(_: Request) -> Response:
        try:
            await service.check_health()
        except RuntimeError as error:
            return json_response({"status": "failing", "reason": str(error)}, 503)
        return json_response({"status": "alive"})

    async def readyz(_: Request) -> Response:
        tiers = await service.readiness_of_all()
        ready = tiers[Tier.PRIMARY.value] or tiers[Tier.BACKUP.value]
        # They name models and hosts, and whoever asks here needs no key: with keys, `/status` has them.
        beside = {} if service.gate.is_locked else {"warnings": service.warnings()}
        return json_response({"ready": ready, "tiers": tiers, **beside}, 200 if ready else 503)

    async def status(_: Request) -> Response:
        return json_response(await service.status_of_all())

    async def fallbacks(request: Request) -> Response:
        query = read_fallback_query(request.query_params, time.time())
        return json_response(await service.fallbacks_of_all(query))

    async def acts(request: Request) -> Response:
        return await act(service, request)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/status", status, methods=["GET"]),
        Route("/v1/fallbacks", fallbacks, methods=["GET"]),
        Route("/status/events", StatusEvents(service).respond, methods=["GET"]),
        Route("/admin/acts", acts, methods=["POST"]),
    ]
