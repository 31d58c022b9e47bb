"""`InferenceEngine`: the service from Python, with the methods of the older in-process engine.

    run_inference(model_id, inputs)            ask a model
    execute_inference(inputs, model_id=None)   ask whoever is the default
    stream_inference(inputs, model_id=None)    the same, piece by piece

The first two return the native API's JSON body as a `dict`, whose `result` is never empty; the third gives the pieces
of an answer and then that body. Nothing is raised for content of any kind, nor when the service cannot be started or
its router goes down under a call: the caller gets an answer, at worst the last resort.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from deployments.client.waiting import StreamPieces, wait_for_response
from deployments.observability import log
from deployments.policy.attempt import Tier
from deployments.policy.last_resort import LAST_RESORT, LastResort
from deployments.policy.no_vector import NoVector
from deployments.policy.problem import InvalidRequestError
from deployments.policy.reason import reason_of
from deployments.policy.serving_state import ServingState
from deployments.request import extract_text
from deployments.request.body import Limits, decode, encode
from deployments.request.fields import to_number
from deployments.request.native import asks_for_vectors
from deployments.request.response_format import read_response_format
from deployments.settings import PolicySettings

_GRACE_S = 2.0
"""The router answers within the deadline. This is added for the way to the router and back."""

_BACKUP_POLL_S = 0.2
_NO_CONTROLS: Mapping[str, Any] = {}


class InferenceEngine:
    """Attaches to the running service, or starts a local one on first use: see `ray_serve.attach`.

    ```python
    engine = InferenceEngine()
    answer = await engine.run_inference("my_model", {"text": "Hello"})
    assert len(answer["result"]) > 0
    ```
    """

    def __init__(self, config: str = "serve_config.yaml") -> None:
        """Prepare; nothing is started yet.

        Args:
            config: the Serve config that a local service is started from.
        """
        self._config = config
        self._handle: Any = None  # a DeploymentHandle to the router
        self._connecting = asyncio.Lock()
        self._connected_by_us = False
        self._policy = PolicySettings.from_environment()

    async def run_inference(self, model_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the model `model_id`; where it cannot answer, another one does.

        Args:
            model_id: the model's name. The backup answers for a name that no model has.
            inputs: the native API's JSON body.

        Returns:
            The body that `POST /v1/infer` would give.
        """
        return await self._ask(inputs, model_id)

    async def execute_inference(self, inputs: Mapping[str, Any], model_id: str | None = None) -> dict[str, Any]:
        """Ask `model_id`, or the default model where no name is given; see `run_inference`."""
        return await self._ask(inputs, model_id)

    async def stream_inference(
        self, inputs: Mapping[str, Any], model_id: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Ask `model_id`, or the default model, and give the answer while it is written.

        Yields `{"text", "model", "served_by"}` for each piece, `extras` in the place of the text for what comes beside
        it, and at the end the body that `run_inference` returns, with the whole text as its `result`. To close the
        iterator stops the model that is writing.
        """
        given: list[str] = []
        try:
            max_wait_s = self._timeout_s(inputs) + _GRACE_S
            response = (await self._connected()).options(stream=True).infer_stream.remote(inputs, model_id)
        except Exception as error:  # noqa: BLE001 - the router cannot be reached: the promise holds here, too
            for item in self._ending(inputs, error, given):
                yield item
            return
        pieces = StreamPieces(response)
        try:
            while (piece := await pieces.next(max_wait_s)) is not None:
                if piece.get("text") == "":  # a sign of life, for nobody but the wait for the next piece
                    continue
                if "text" in piece:
                    given.append(piece["text"])
                # From here on the router's own policy ends a silence.
                max_wait_s = self._policy.streams.stall_seconds + self._policy.streams.continue_seconds + _GRACE_S
                yield piece
                if "result" in piece:
                    return
        except Exception as error:  # noqa: BLE001 - the router has gone down under the stream
            for item in self._ending(inputs, error, given):
                yield item
            return
        finally:
            await pieces.aclose()
        for item in self._ending(inputs, ConnectionError("the router's stream was cut"), given):
            yield item

    async def status(self) -> dict[str, Any]:
        """The body of `GET /status`.

        Raises:
            ConnectionError: the router went down under the call.
            Exception: whatever Serve raises where the service cannot be reached.
        """
        return await wait_for_response((await self._connected()).status.remote(), None)

    def close(self) -> None:
        """Disconnect; a service that this engine started ends. A connection that was there before it stays."""
        if self._connected_by_us:
            from deployments.ray_serve.attach import disconnect

            disconnect()
        self._handle, self._connected_by_us = None, False

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
        """Wait until the backup is no longer loading, and return its part of `status`.

        Raises:
            TimeoutError: it is still loading after `timeout_s` seconds.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                backup: dict[str, Any] = (await self.status())["backup"]
                if ServingState.of(backup) is not ServingState.LOADING:
                    return backup
                await asyncio.sleep(_BACKUP_POLL_S)

    async def _run_backup_inference(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the backup, and no model before it."""
        return await self._ask(inputs, None, {"tiers": ["backup"]})

    @staticmethod
    def _extract_text_input(inputs: Mapping[str, Any]) -> str:
        """The text of a request: the first of `text`, `prompt`, `query`, `input`, `message` that is not blank.

        Raises:
            InvalidRequestError: all of them are blank or missing.
        """
        return extract_text(inputs)

    async def _ask(self, inputs: Any, model: str | None, controls: Mapping[str, Any] = _NO_CONTROLS) -> dict[str, Any]:
        try:
            asked = {**inputs, **controls} if controls and isinstance(inputs, Mapping) else inputs
            max_wait_s = self._timeout_s(inputs) + _GRACE_S
            response = (await self._connected()).infer.remote(asked, model)
            return await wait_for_response(response, max_wait_s)
        except Exception as error:  # noqa: BLE001 - the router cannot be reached or goes down: the promise holds here, too
            return self._apology(inputs, error)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._handle is None:
                from deployments.ray_serve.attach import attach_or_start, is_connected

                # What an attempt before has started, and was not waited for to its end, is ours, too.
                self._connected_by_us = self._connected_by_us or not is_connected()
                self._handle = await attach_or_start(self._config)
        return self._handle

    def _timeout_s(self, inputs: Any) -> float:
        """The deadline that the router will keep: the one in `inputs`, bounded by the policy, or the policy's own."""
        wanted = inputs.get("timeout") if isinstance(inputs, Mapping) else None
        try:
            return min(max(0.0, to_number("timeout", wanted, "seconds")), self._policy.max_timeout_seconds)
        except InvalidRequestError:  # the router says so
            return self._policy.timeout_seconds

    def _ending(self, inputs: Any, error: BaseException, given: list[str]) -> list[dict[str, Any]]:
        """The items that end a stream which broke after `given`: the last-resort message, and the whole answer."""
        body, written = self._apology(inputs, error), "".join(given)
        if "result" not in body:  # no text stands in the place of a vector
            return [body]
        text = self._last_resort(inputs).ending(written)
        return [
            {"text": text, "model": LAST_RESORT, "served_by": Tier.LAST_RESORT.value},
            body | {"result": written + text},
        ]

    def _apology(self, inputs: Any, error: BaseException) -> dict[str, Any]:
        """The last resort for `inputs`, where the router gave no answer because of `error`."""
        log.internal_error("engine", "", error)
        answer = self._last_resort(inputs).answer()
        return {**answer.to_json(uuid4().hex), "reason": reason_of(error)}

    def _last_resort(self, inputs: Any) -> LastResort | NoVector:
        read = _as_json(inputs, Limits(*self._policy.request_bounds()))
        if asks_for_vectors(read):
            return NoVector()
        return LastResort(self._policy.last_resort.message, refusal=_demands_form(read))


def _as_json(inputs: Any, limits: Limits) -> Mapping[str, Any]:
    """The JSON object that `inputs` are, as the router reads them: any other object in them may raise anything.

    Empty where a router would refuse them.
    """
    try:
        read = decode(encode(inputs, limits), limits)
    except InvalidRequestError:
        return {}
    return read if isinstance(read, Mapping) else {}


def _demands_form(read: Mapping[str, Any]) -> bool:
    """Whether a request asks for a form that the last resort cannot have; not where a router would refuse it."""
    try:
        return read_response_format(read).demands_form
    except InvalidRequestError:
        return False
