"""The request, and everything that its attempts are made with."""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto

from msgspec import Struct

from deployments.execution.attempt import MAX_COLLECTED, Begun, Conform, ModelClient
from deployments.policy.attempt import Candidate
from deployments.policy.chain import FallbackChain
from deployments.policy.last_resort import LastResort
from deployments.policy.no_vector import NoVector
from deployments.policy.outcome import Answered, Outcome
from deployments.policy.resilience import ResilienceState
from deployments.policy.terms import Terms
from deployments.policy.token_estimate import BYTES_PER_TOKEN
from deployments.request import InferenceRequest


class NotReady(Enum):
    """Why a request that waited for candidates goes on without one."""

    NEVER = auto()
    """All of them have failed for good."""
    TOO_LATE = auto()
    """None was ready in time."""
    NO_PLACE = auto()
    """Too many requests wait already."""


WaitReady = Callable[[Sequence[Candidate], float], Awaitable[Candidate | NotReady]]
"""Waits until one of the candidates, best first, is ready, at most until a time on the event loop's clock. Returns that
candidate, or why there is none."""


DroppedBy = Callable[[Candidate], tuple[str, ...]]
"""Returns what a candidate cannot do of what a request asks, by name."""


def does_everything(candidate: Candidate) -> tuple[str, ...]:  # noqa: ARG001 - the same of every candidate
    """Return nothing: the candidate can do all that is asked."""
    return ()


class Execution(Struct, frozen=True):
    """A request, the chain that answers it, and what its attempts are made with.

    Attributes:
        chain: the candidates and their deadline, on the running event loop's clock.
        request: the request.
        client_of: returns the client of a candidate.
        resilience: gives permits for attempts, and takes their outcomes.
        last_tier: returns the answer where no candidate answers, and the end of a stream that no candidate continues.
        wait_ready: waits for a candidate that cannot take the request yet.
        conform: checks answers against the form that the caller demanded; `None` where any text will do.
        dropped_by: returns what a candidate cannot do of what the request asks, by name.
    """

    chain: FallbackChain
    request: InferenceRequest
    client_of: Callable[[Candidate], ModelClient]
    resilience: ResilienceState
    last_tier: Callable[[], LastResort | NoVector]
    wait_ready: WaitReady
    conform: Conform | None = None
    dropped_by: DroppedBy = does_everything

    async def attempt_whole(
        self, request: InferenceRequest, candidate: Candidate, budget_s: float, max_characters: int = MAX_COLLECTED
    ) -> Outcome:
        """Make one attempt on `candidate`, read it to its end, and hold the answer to the form that was demanded."""
        # The client is looked up within the attempt, so that an error of the lookup is a failed attempt.
        started = await self.client_of(candidate).start(request, budget_s)
        outcome = await started.read_to_end(max_characters) if isinstance(started, Begun) else started
        if self.conform is None or not isinstance(outcome, Answered):
            return outcome
        return await self.conform(outcome)


def terms_of(request: InferenceRequest) -> Terms:
    """Return what the caller of `request` imposes on the models that answer."""
    asked, form = request.parameters, request.response_format
    kind = "tool_call" if form.demands_tool_call else str(form.constraint.get("type", "")) if form.is_json else ""
    steered = bool(asked.stop or asked.stop_token_ids or asked.logit_bias)
    size = len(request.text) + len(request.prefix) + BYTES_PER_TOKEN * len(request.prompt_tokens)
    size += sum([len(turn["content"]) for turn in request.messages])
    return Terms(request.stream, kind, asked.max_tokens, steered, size)
