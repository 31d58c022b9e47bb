"""The replica of one model, and the part that all replicas share: outcomes, and health by progress."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import copy_context
from pathlib import Path
from typing import Any

from deployments.execution.attempt import Begun
from deployments.execution.pulse import Beats
from deployments.formats import LoadProgress, ServedModel, Tokenizing, load_model
from deployments.observability import log
from deployments.policy.outcome import Failed, Outcome, Refused, Rejected, StreamItem, StreamPart
from deployments.policy.problem import UNSUPPORTED
from deployments.policy.reason import locate_error, reason_of
from deployments.policy.serving_state import ServingState
from deployments.replica.answers import AnswerCount
from deployments.replica.engine_figures import export_engine
from deployments.replica.generation_span import begin_span
from deployments.replica.loading import BackgroundLoad
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest
from deployments.settings import ModelSpec, ServerSpec

_LAST_WORDS_S = 30.0


class StalledError(Exception):
    """Work is under way in a replica and does not advance. Serve replaces a replica whose health check raises this."""


def require_progress(name: str, stalled_s: float, limit_s: float) -> None:
    """Hold a model to the rule of health: work that is under way advances.

    Args:
        name: what log lines call the model.
        stalled_s: seconds for which its work has not advanced.
        limit_s: seconds after which that is a fault (`stall_seconds` of its spec).

    Raises:
        StalledError: it has not advanced for `limit_s`.
    """
    if stalled_s >= limit_s:
        log.model_stalled(name, stalled_s)
        raise StalledError(f"{name}: its work has not advanced for {stalled_s:.0f} s (stall_seconds: {limit_s:g})")


class Replica(ABC):
    """Answers with a model, and turns everything that the model does into an outcome. `app` binds it to Serve."""

    answers: AnswerCount

    @abstractmethod
    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        """The name that log lines give the model that is asked, and the model, or why there is none."""

    @abstractmethod
    async def describe(self) -> dict[str, Any]:
        """Its state and facts, for the router."""

    @abstractmethod
    async def check_health(self) -> None:
        """Called by Serve every few seconds; whatever it raises is a failed check, and several in a row replace it."""

    async def ping(self) -> bool:
        """Show that the replica can be reached: `ray_serve.replica_watch` asks where an answer takes long."""
        return True

    async def infer(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Answer `request` as a whole within `budget_s` seconds. Only cancellation is raised."""
        if (span := begin_span(request)) is not None:
            return await span.whole(self.infer(span.within, budget_s))
        name, started = await self._start(request, budget_s)
        if not isinstance(started, Begun):
            return started
        try:
            return await started.read_to_end()
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure is the attempt's outcome
            return _raised(name, error)

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """Yield the answer piece by piece, and the end. Only cancellation is raised.

        An empty text is a sign of life: the model is at work, and has written nothing yet that is to be passed on.
        """
        if (span := begin_span(request)) is not None:
            async with aclosing(span.items(self.stream(span.within, budget_s))) as items:
                async for item in items:
                    yield item
            return
        # A task of its own: the start may take long, and shows meanwhile that the model is at work.
        news, context = asyncio.Event(), copy_context()
        context.run(Beats(news.set).attach)
        starting = asyncio.create_task(self._start(request, budget_s), context=context)
        starting.add_done_callback(lambda _: news.set())
        try:
            async with aclosing(_signs(starting, news)) as signs:
                async for sign in signs:
                    yield sign
        except BaseException:  # whoever reads has left, maybe just as the answer has begun
            await _close(starting)
            raise
        name, started = starting.result()
        async with aclosing(started if isinstance(started, Begun) else Begun.completed(started)) as begun:
            try:
                for part in begun.so_far:
                    yield part
                while isinstance(item := await begun.next(), StreamPart):
                    yield item
                yield item
            except Exception as error:  # noqa: BLE001 - a model's own code: its failure ends the stream
                yield _raised(name, error)

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Answer a question to the model's tokenizer. Only cancellation is raised."""
        name, model = await self.chosen()
        if isinstance(model, Refused):
            return model
        if not isinstance(model, Tokenizing):
            return Rejected("it has no tokenizer that can be asked", "model", UNSUPPORTED)
        try:
            return await model.tokenize(asked)
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure is the outcome
            return _raised(name, error)

    async def _start(self, request: InferenceRequest, budget_s: float) -> tuple[str, Outcome | Begun]:
        """The name that log lines give the model that is asked, and its outcome, or the answer that has begun."""
        name, model = await self.chosen()
        if isinstance(model, Refused):
            return name, model
        began = self.answers.began()
        try:
            started = await model.start(request, budget_s)
        except asyncio.CancelledError:
            self.answers.given_up(began, name)
            raise
        except Exception as error:  # noqa: BLE001 - a model's own code: its failure is the attempt's outcome
            started = _raised(name, error)
        self.answers.ended(started, began, name)
        return name, started


async def _signs(starting: "asyncio.Task[Any]", news: asyncio.Event) -> AsyncGenerator[str, None]:
    """Yield an empty text for the `news` since the last one, until `starting` is done; cancel it where nobody reads."""
    try:
        while await news.wait() and not starting.done():
            news.clear()
            yield ""
    finally:
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})


async def _close(starting: "asyncio.Task[tuple[str, Outcome | Begun]]") -> None:
    """Close what a start has begun that nobody reads."""
    if starting.done() and not starting.cancelled() and starting.exception() is None:
        _, started = starting.result()
        if isinstance(started, Begun):
            await started.aclose()


def _raised(name: str, error: Exception) -> Failed:
    log.model_raised(name, error)
    return Failed(reason_of(error), log_reason=locate_error(error))


class SingleReplica(Replica):
    """Has one model, which it loads in the background."""

    def __init__(
        self,
        name: str,
        load: Callable[[], ServedModel],
        timeout_s: float,
        stall_s: float,
        progress: LoadProgress | None = None,
    ) -> None:
        """Start to load; this cannot fail.

        Args:
            name: what log lines call the model.
            load: gives the model; see `BackgroundLoad`.
            timeout_s: seconds the load may take.
            stall_s: seconds after which work that does not advance fails the health check.
            progress: says what the load is doing.
        """
        self._name = name
        self._stall_s = stall_s
        self._load = BackgroundLoad(name, load, timeout_s, progress)
        self.answers = AnswerCount()

    async def chosen(self) -> tuple[str, ServedModel | Refused]:
        """The one model."""
        return self._name, self._load.model

    async def describe(self) -> dict[str, Any]:
        """Its state and facts, for the router."""
        return self._load.describe()

    async def record_routing_stats(self) -> dict[str, Any]:
        """While the model loads, its state and facts; later nothing, or its state while it takes no requests.

        Serve lets this be asked of a replica that takes no requests yet (`ray_serve.handle`). It asks, too, from time
        to time, and sends requests to others of the deployment where one is not ready (`ray_serve.watched_router`).
        """
        described = self._load.describe()
        if described["state"] == ServingState.READY:
            return {}
        # What is told changes nothing while it goes on: Serve tells every handle of each change.
        return {"state": str(described["state"])} if self._load.is_over else described

    async def check_health(self) -> None:
        """Wait for the model, and require that its work advances and that it answers.

        Raises:
            LoadFailedError: it could not be loaded; see `loading`.
            StalledError: its work does not advance.
            FruitlessError: it fails or hangs every request.
        """
        model = await self._load.ended()
        export_engine(self._name, self._load.describe())
        require_progress(self._name, model.stalled_s(), self._stall_s)
        self.answers.require_answers(self._name)


class ModelReplica(SingleReplica):
    """Serves the model of one spec."""

    def __init__(self, spec: ModelSpec, cache: str) -> None:
        """Start to load the model of `spec`; `cache` is the cache folder's absolute path on this node."""
        progress = LoadProgress()
        super().__init__(
            spec.id,
            lambda: load_model(spec, Path(cache), progress),
            # A server is given up by its supervisor, which has its last words; this is the bound behind it.
            spec.load_timeout_seconds + (_LAST_WORDS_S if isinstance(spec, ServerSpec) else 0.0),
            spec.stall_seconds,
            progress,
        )
