"""The router: reads a request, runs its chain, tells what happened. A plain class, bound to Serve in `app`.

HTTP ──► http.native ──┐
handle ──► infer ──────┴─► answer ──► driver.run_chain ──► Directory ──► model and backup replicas
│
└─ whatever breaks in here: the last-resort message
"""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from deployments import telemetry
from deployments.body import Limits
from deployments.calls import ServeCaller
from deployments.directory import Cluster, Directory
from deployments.driver import Caller, run_chain
from deployments.http.native import build_asgi
from deployments.http.problems import problem_body
from deployments.policy.answer import Answer, Candidate, Tier
from deployments.policy.breaker import Breakers
from deployments.policy.chain import LAST_RESORT, FallbackChain
from deployments.policy.deadline import Deadline
from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.settings import PolicySettings


class Router:
    """One router process. Its breakers and counts are its own; nothing is shared between routers."""

    def __init__(self, cluster: Cluster, backup: ServeCaller, backup_name: str, policy: PolicySettings) -> None:
        """Route with `policy` until `reconfigure` says otherwise.

        Args:
            cluster: the running Serve instance.
            backup: how the backup is reached.
            backup_name: what answers call it.
            policy: the base that the `user_config` is laid over.
        """
        self._base = policy
        self._backup_name = backup_name
        self._directory = Directory(cluster, backup)
        self._counts: Counter[Tier] = Counter()
        self._policy = policy.with_overrides({}, os.environ)
        self._breakers = Breakers(self._policy.to_breaker(), telemetry.breaker_changed)
        self._take_over(self._policy)
        self.asgi = build_asgi(self)

    def reconfigure(self, user_config: Mapping[str, Any] | None) -> None:
        """Take over a changed `user_config` in place; Serve calls this, at the start as well.

        Raises:
            SettingsError: it is not valid; the policy in force stays.
        """
        self._take_over(self._base.with_overrides(user_config or {}, os.environ))

    async def infer(self, data: Any, model: Any = "") -> dict[str, Any]:
        """Answer through a deployment handle: the body that HTTP would give, for content of any kind.

        Args:
            data: a mapping as the native API's JSON body.
            model: the model asked for, a text; the same as `data["model"]`.
        """
        started = asyncio.get_running_loop().time()
        request_id = uuid4().hex
        try:
            request = InferenceRequest.from_python(data, self.limits, model=model)
        except InvalidRequestError as error:
            return problem_body(error.problem, request_id)
        return (await self.answer(request, request_id, started)).to_json(request_id)

    async def models(self) -> dict[str, Any]:
        """`GET /v1/models` for deployment handles."""
        return self.describe_models()

    async def status(self) -> dict[str, Any]:
        """`GET /status` for deployment handles."""
        return self.describe()

    async def ready(self) -> dict[str, bool]:
        """The tiers of `GET /readyz` for deployment handles."""
        return self.readiness()

    async def answer(self, request: InferenceRequest, request_id: str, started: float) -> Answer:
        """Answer a well-formed request; only the caller's own cancellation is raised.

        Args:
            request: what is asked.
            request_id: for the log.
            started: when it arrived, on the event loop's clock.
        """
        asked = request.model or self._policy.default_model or self._backup_name
        try:
            chain = self._chain(request, asked, started)
            answer = await run_chain(chain, request, self._caller_of, self._breakers)
        except Exception as error:  # noqa: BLE001 - the promise holds for our own bugs, too
            telemetry.internal_error("router", asked, error)
            answer = self._apology()
        self._counts[answer.served_by] += 1
        if answer.degraded:
            seconds = asyncio.get_running_loop().time() - started
            content = request.text if self._policy.log_content else ""
            telemetry.fallback(request_id, asked, answer, seconds, content)
        return answer

    @property
    def limits(self) -> Limits:
        """The bounds requests are held to."""
        return self._limits

    @property
    def last_resort_status(self) -> int:
        """The HTTP status of a last-resort answer."""
        return self._policy.last_resort.status

    def describe_models(self) -> dict[str, Any]:
        """All models and the backup, in the form of OpenAI's list."""
        entries = [*sorted(self._directory.models.items()), (self._backup_name, self._directory.backup)]
        data = [
            {"id": name, "object": "model", "owned_by": "neverblank", "state": entry.state} for name, entry in entries
        ]
        return {"object": "list", "data": data}

    def readiness(self) -> dict[str, bool]:
        """Primary: some model is ready. The last resort needs nothing."""
        return {
            Tier.PRIMARY.value: any(entry.state == "ready" for entry in self._directory.models.values()),
            Tier.BACKUP.value: self._directory.backup.state == "ready",
            Tier.LAST_RESORT.value: True,
        }

    def describe(self) -> dict[str, Any]:
        """What this router knows and has done."""
        return {
            "router": os.getpid(),
            "default_model": self._policy.default_model,
            "discovery_age_s": round(min(self._directory.age_s(), 1e9), 2),
            "models": {
                name: {**entry.to_json(), "breaker": type(self._breakers.state(name)).__name__.lower()}
                for name, entry in sorted(self._directory.models.items())
            },
            "backup": self._directory.backup.to_json(),
            "answers": {tier.value: self._counts[tier] for tier in Tier},
        }

    async def run(self) -> None:
        """Find models, for as long as the router lives."""
        await self._directory.refresh()
        await self._directory.watch(lambda: self._policy.discovery_seconds)

    def _take_over(self, policy: PolicySettings) -> None:
        self._policy = policy
        self._reserves = policy.to_reserves()
        self._breakers.policy = policy.to_breaker()
        self._limits = Limits(policy.max_request_bytes, policy.timeout_seconds, policy.max_timeout_seconds)
        telemetry.policy_changed(policy.model_dump(exclude_unset=True))

    def _chain(self, request: InferenceRequest, asked: str, started: float) -> FallbackChain:
        candidates = []
        if asked != self._backup_name and Tier.PRIMARY in request.tiers:
            candidates.append(Candidate(Tier.PRIMARY, asked))
        if Tier.BACKUP in request.tiers:
            candidates.append(Candidate(Tier.BACKUP, self._backup_name))
        deadline = Deadline.after(started, request.timeout_s, self._reserves)
        return FallbackChain(tuple(candidates), deadline, self._policy.last_resort.message)

    def _caller_of(self, candidate: Candidate) -> Caller:
        if candidate.tier is Tier.BACKUP:
            return self._directory.backup
        return self._directory.find(candidate.model)

    def _apology(self) -> Answer:
        return Answer(self._policy.last_resort.message, LAST_RESORT, Tier.LAST_RESORT, degraded=True, attempts=())
