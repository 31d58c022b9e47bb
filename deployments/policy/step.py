"""The steps of a chain: what `next_step` decides."""

from msgspec import Struct

from deployments.policy.attempt import Began, Candidate, Ended, Why
from deployments.policy.outcome import Rejected


class Start(Struct, frozen=True):
    """Ask `candidate` now."""

    candidate: Candidate
    why: Why = Why.NEXT


class WaitUntil(Struct, frozen=True):
    """Wait until an attempt begins or ends, at most until `time`."""

    time: float


class AwaitReady(Struct, frozen=True):
    """Wait until one of `candidates`, best first, is ready, at most until `time`; then ask it."""

    candidates: tuple[Candidate, ...]
    time: float


class Accept(Struct, frozen=True):
    """Take the answer of the attempt at `place`. `trace` shows all others as ended; cancel the running ones."""

    place: int
    trace: tuple[Ended | Began, ...]


class Exhausted(Struct, frozen=True):
    """Give the last resort: no candidate answers in time. `trace` shows all attempts as ended; cancel running ones.

    `retry_after_s` says when to ask again, where that is known; else it is 0.
    """

    trace: tuple[Ended, ...]
    retry_after_s: float = 0.0


class Reject(Struct, frozen=True):
    """Reject the request: the model that was asked for calls it invalid. Cancel the attempts that are still running."""

    rejected: Rejected
    trace: tuple[Ended, ...]


Step = Start | WaitUntil | AwaitReady | Accept | Exhausted | Reject
