"""The yardstick: the least a Serve composition can be. An ingress that parses JSON and asks one deployment."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.models import Talker


class Echo:
    """Says what it was told."""

    async def infer(self, inputs: dict[str, Any]) -> Any:
        """Return the request's text."""
        return inputs["text"]

    async def stream(self, inputs: dict[str, Any]) -> AsyncIterator[str]:
        """Say so many words."""
        async for word in Talker().stream(inputs):
            yield word


class Ingress:
    """No policy at all: no deadline, no fallback, no trace."""

    def __init__(self, echo: DeploymentHandle) -> None:
        """Ask `echo`."""
        self._infer = echo.infer
        self._stream = echo.options(stream=True).stream

    def __serve_build_asgi_app__(self) -> Starlette:
        """One route for answers, and one for streams."""

        async def infer(request: Request) -> Response:
            result = await self._infer.remote(orjson.loads(await request.body()))
            return Response(orjson.dumps({"result": result}), media_type="application/json")

        async def stream(request: Request) -> Response:
            words = self._stream.remote(orjson.loads(await request.body()))

            async def events() -> AsyncIterator[bytes]:
                async for word in words:
                    yield b"data: %s\n\n" % orjson.dumps({"text": word})

            return StreamingResponse(events(), media_type="text/event-stream")

        return Starlette(routes=[Route("/infer", infer, methods=["POST"]), Route("/stream", stream, methods=["POST"])])


def build(args: dict[str, Any]) -> Application:
    """As many ingress replicas as the service has routers, and one model replica, with the service's options."""
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    own_thread = {"env_vars": {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "1"}}
    echo = serve.deployment(
        Echo,
        max_ongoing_requests=128,
        ray_actor_options={"num_cpus": 0.1, "runtime_env": own_thread},
        logging_config=quiet,
    )
    ingress = serve.deployment(
        serve.ingress()(Ingress),
        num_replicas=args.get("routers", 1),
        max_ongoing_requests=4096,
        ray_actor_options={"num_cpus": 0.1},
        logging_config=quiet,
    )
    return ingress.bind(echo.bind())
