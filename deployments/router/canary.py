"""The canary: asks the local backup steadily, so that it is known to work before it is needed.

Two ways, both off by default: a small request of its own every so often, and a share of the real requests, asked of the
backup beside the model, whose answers are discarded. At most one of them is under way in a router, and the first way
rests while real requests are answered by the backup. After some failures in a row the backup counts as unsound: it is
not ready (`/readyz`), `/status` says why, and a log line is there for an alert. It is still asked, as nobody is behind
it: soundness is what an operator should know, and no reason to apologise without a try.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from deployments.execution.clock import loop_time
from deployments.execution.execution import terms_of
from deployments.observability import log
from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.breaker import Evidence, evidence
from deployments.policy.problem import InvalidRequestError
from deployments.policy.terms import beyond_terms
from deployments.request import InferenceRequest, Parameters
from deployments.settings.canary import CanarySettings

_IDLE_S = 1.0
"""Seconds after which a canary that waits, or is off, looks whether its settings are others."""

_SPREAD = 0.2
"""The share of a pause by which pauses differ: routers that began together do not ask together."""

AskBackup = Callable[[InferenceRequest], Awaitable[Answer]]
"""Asks the local backup alone, and returns its answer, or the last resort."""


class Canary:
    """The canary of one router."""

    def __init__(self, ask: AskBackup, settings: Callable[[], CanarySettings]) -> None:
        """Ask by `ask`, as the `settings` in force say."""
        self._ask = ask
        self._settings = settings
        self._failures = 0
        self._asked = 0
        self._reason = ""
        self._answered_at = float("-inf")
        self._under_way: asyncio.Task[None] | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the backup has not failed too often in a row; true where nobody asks."""
        settings = self._settings()
        return not settings.is_on or self._failures < settings.failures

    def describe(self) -> dict[str, Any]:
        """Return what is known, for `/status`."""
        return {
            "on": self._settings().is_on,
            "sound": self.is_sound,
            "asked": self._asked,
            "failures_in_a_row": self._failures,
            "reason": self._reason,
        }

    async def run(self) -> None:
        """Ask every so often until this is cancelled."""
        while True:
            settings = self._settings()
            if not settings.every_seconds:
                await asyncio.sleep(_IDLE_S)
                continue
            pause_s = settings.every_seconds * (1 + _SPREAD * (random.random() - 0.5))  # noqa: S311 - no secret
            if await self._changes(settings, pause_s):
                continue
            if self._under_way is None and loop_time() - self._answered_at >= pause_s:
                asking = self._begin(_request(settings))
                try:
                    await asyncio.wait({asking})
                finally:
                    asking.cancel()

    async def _changes(self, settings: CanarySettings, within_s: float) -> bool:
        """Return true once other `settings` are in force, and false where none are within so many seconds."""
        ends = loop_time() + within_s
        while (left_s := ends - loop_time()) > 0:
            await asyncio.sleep(min(left_s, _IDLE_S))
            if self._settings() != settings:
                return True
        return False

    def answered(self) -> None:
        """The backup has answered a real request: it is sound, and need not be asked for a while."""
        self._note("")

    def offer(self, request: InferenceRequest) -> None:
        """Ask the backup `request`, too, where it is one of the share that is asked twice."""
        share = self._settings().share
        if not share or self._under_way is not None or not _can_be_asked_twice(request):
            return
        if random.random() < share:  # noqa: S311 - no secret
            self._begin(_copy(request, self._settings()))

    def _begin(self, request: InferenceRequest) -> "asyncio.Task[None]":
        self._under_way = task = asyncio.create_task(self._try(request), name="canary")
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._under_way = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.internal_error("canary", "", error)

    async def _try(self, request: InferenceRequest) -> None:
        """Ask once.

        A refusal is no failure: a backup that is full is at work, and one that is not ready says so itself. Neither is
        a request that the backup calls invalid, nor what the terms of the exercise left no room for.
        """
        self._asked += 1
        try:
            answer = await self._ask(request)
        except InvalidRequestError:
            return
        terms = terms_of(request)
        said = [evidence(beyond_terms(ended.outcome, terms)) for ended in answer.attempts]
        if Evidence.SUCCESS in said:
            self._note("")
        elif said and Evidence.NEUTRAL not in said:
            self._note(answer.attempts[-1].outcome.reason)

    def _note(self, failure: str) -> None:
        was_sound = self.is_sound
        self._failures = self._failures + 1 if failure else 0
        self._reason = failure
        if not failure:
            self._answered_at = loop_time()
        if self.is_sound is not was_sound:
            log.canary_changed(sound=self.is_sound, reason=failure)


def _request(settings: CanarySettings) -> InferenceRequest:
    return InferenceRequest(
        inputs={"text": settings.prompt},
        text=settings.prompt,
        messages=(),
        model="",
        timeout_s=settings.timeout_seconds,
        parameters=Parameters(max_tokens=settings.max_tokens),
        wait=False,
    )


def _copy(request: InferenceRequest, settings: CanarySettings) -> InferenceRequest:
    """Return `request` as the backup is asked: whole, not waited for, and with the canary's own bounds."""
    asked = request.parameters
    most = min(asked.max_tokens or settings.max_tokens, settings.max_tokens)
    return replace(
        request,
        timeout_s=settings.timeout_seconds,
        stream=False,
        wait=False,
        parameters=replace(asked, max_tokens=most),
    )


def _can_be_asked_twice(request: InferenceRequest) -> bool:
    """Return whether the backup may see `request`, and could answer it as it is.

    It may not where the caller lets only the model answer. A plain request wants no vectors, no drill, and nothing that
    a model may lack: so `strict` keeps none of those from the backup.
    """
    if not request.fallback or Tier.BACKUP not in request.tiers:
        return False
    return not (request.vectors or request.features or request.faults or request.prompt_tokens or request.passthrough)
