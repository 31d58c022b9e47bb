"""`InferenceEngine`: the service from Python, with the methods of the older in-process engine.

    run_inference(model_id, inputs)            ask a model
    execute_inference(inputs, model_id=None)   ask whoever is the default
    stream_inference(inputs, model_id=None)    the same, piece by piece

The first two return the native API's JSON body as a `dict`, whose `result` is never empty; it is the last thing
the third one gives. Content of any kind, a service that cannot be started and one that dies under a call are
answered, not raised.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.last_resort import LAST_RESORT
from deployments.request import extract_text
from deployments.settings import PolicySettings

_GRACE_S = 2.0
"""The router answers within the deadline; this is for the way there and back."""


class InferenceEngine:
    """Attaches to the running service, or starts a local one on first use: see `local`.

    ```python
    engine = InferenceEngine()
    answer = await engine.run_inference("my_model", {"text": "Hello"})
    assert len(answer["result"]) > 0
    ```
    """

    def __init__(self, config: str = "serve_config.yaml") -> None:
        """Prepare; nothing is started yet. `config` is what a local service is started from."""
        self._config = config
        self._handle: Any = None
        self._connecting = asyncio.Lock()
        self._connected_by_us = False
        self._policy = PolicySettings.from_environment()

    async def run_inference(self, model_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the model `model_id`; another one answers where it cannot.

        Args:
            model_id: the model's name. An unknown one is answered by the backup.
            inputs: the native API's JSON body.
        """
        return await self._ask(inputs, model_id)

    async def execute_inference(self, inputs: Mapping[str, Any], model_id: str | None = None) -> dict[str, Any]:
        """Ask `model_id`, or the default model where none is given."""
        return await self._ask(inputs, model_id or "")

    async def stream_inference(
        self, inputs: Mapping[str, Any], model_id: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Ask `model_id`, or the default model, and give the answer as it is written.

        Yields `{"text", "model", "served_by"}` for each piece, and at the end the body that `run_inference` returns,
        with the whole text as its `result`. Closing the iterator stops whoever is writing.
        """
        given: list[str] = []
        try:
            response = (await self._connected()).options(stream=True).infer_stream.remote(inputs, model_id or "")
        except Exception as error:  # noqa: BLE001 - not even the router can be reached: the promise holds here, too
            for item in self._ending(error, given):
                yield item
            return
        pieces = Pieces(response)
        patience_s = self._timeout_s(inputs) + _GRACE_S
        try:
            while (piece := await pieces.next(patience_s)) is not None:
                given.append(piece.get("text", ""))
                # From now on a silence is the router's to end, by its own policy.
                patience_s = self._policy.streams.stall_seconds + self._policy.streams.continue_seconds + _GRACE_S
                yield piece
                if "result" in piece:
                    return
        except Exception as error:  # noqa: BLE001 - the router has died under the stream
            for item in self._ending(error, given):
                yield item
            return
        finally:
            await pieces.aclose()
        for item in self._ending(ConnectionError("the router's stream was cut"), given):
            yield item

    async def status(self) -> dict[str, Any]:
        """What `GET /status` tells. Raises where the service cannot be reached."""
        described: dict[str, Any] = await (await self._connected()).status.remote()
        return described

    def close(self) -> None:
        """Disconnect; a service that this engine started ends. A connection that was there before it stays."""
        import ray

        if self._handle is not None and self._connected_by_us:
            ray.shutdown()
        self._handle = None

    async def __aenter__(self) -> Self:
        """Connect at once, so that the first question does not pay for it."""
        await self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    async def _load_backup_model(self, timeout_s: float = 300.0) -> dict[str, Any]:
        """Wait until the backup is ready and say how it is.

        Raises:
            TimeoutError: it is not, after `timeout_s` seconds.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                backup: dict[str, Any] = (await self.status())["backup"]
                if backup["state"] != "loading":
                    return backup
                await asyncio.sleep(0.2)

    async def _run_backup_inference(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the backup, and nobody before it."""
        return await self._ask({**inputs, "tiers": ["backup"]}, "")

    @staticmethod
    def _extract_text_input(inputs: Mapping[str, Any]) -> str:
        """The text of a request: the first of `text`, `prompt`, `query`, `input`, `message` that is not blank.

        Raises:
            InvalidRequestError: there is none.
        """
        return extract_text(inputs)

    async def _ask(self, inputs: Any, model: str) -> dict[str, Any]:
        try:
            handle = await self._connected()
            response = handle.infer.remote(inputs, model)
        except Exception as error:  # noqa: BLE001 - not even the router can be reached: the promise holds here, too
            return self._apology(error)
        waiting = asyncio.ensure_future(_resolve(response))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self._timeout_s(inputs) + _GRACE_S)
        except asyncio.CancelledError:
            response.cancel()
            raise
        if not done:
            response.cancel()
            waiting.cancel()
            return self._apology(TimeoutError("the router did not answer"))
        broken = waiting.exception()
        return self._apology(broken) if broken else waiting.result()

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._handle is None:
                import ray

                from deployments.ray_serve.attach import attach_or_start

                self._connected_by_us = not ray.is_initialized()
                # On the main thread, as Ray installs signal handlers when it starts.
                self._handle = attach_or_start(self._config)
        return self._handle

    def _timeout_s(self, inputs: Any) -> float:
        wanted = inputs.get("timeout") if isinstance(inputs, Mapping) else None
        valid = isinstance(wanted, (int, float)) and math.isfinite(wanted)
        longest = self._policy.max_timeout_seconds
        return min(max(0.0, float(wanted or 0)), longest) if valid else self._policy.timeout_seconds

    def _ending(self, error: BaseException, given: list[str]) -> list[dict[str, Any]]:
        """What ends a stream that has broken after `given`: the last-resort message, and the answer as a whole."""
        body = self._apology(error)
        text = ("\n\n" if given else "") + body["result"]
        return [
            {"text": text, "model": LAST_RESORT, "served_by": Tier.LAST_RESORT.value},
            body | {"result": "".join(given) + text},
        ]

    def _apology(self, error: BaseException) -> dict[str, Any]:
        log.internal_error("engine", "", error)
        answer = Answer(self._policy.last_resort.message, LAST_RESORT, Tier.LAST_RESORT, degraded=True, attempts=())
        return {**answer.to_json(uuid4().hex), "reason": f"{type(error).__name__}: {error}"}


class Pieces:
    """The items of a handle's stream, waited for with patience that ends."""

    def __init__(self, response: Any) -> None:
        """Read `response`, a `DeploymentResponseGenerator`."""
        self._response = response
        self._waiting: asyncio.Task[Any] | None = None

    async def next(self, patience_s: float) -> dict[str, Any] | None:
        """The next item, or `None` behind the last one.

        Raises:
            TimeoutError: none came within `patience_s` seconds.
        """
        # A task that `wait` does not cancel: cancelling the pull would end the call.
        self._waiting = asyncio.ensure_future(anext(self._response, None))
        done, _ = await asyncio.wait({self._waiting}, timeout=patience_s)
        if not done:
            raise TimeoutError("the router did not go on")
        item: dict[str, Any] | None = self._waiting.result()
        return item

    async def aclose(self) -> None:
        """Stop the stream."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.cancel()
        self._response.cancel()


async def _resolve(response: Any) -> dict[str, Any]:
    """Await a response in a task of its own: giving up waiting must not lose the handle to cancel it by."""
    body: dict[str, Any] = await response
    return body
