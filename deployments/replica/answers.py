"""Whether a replica answers anybody: one that is healthy by every other measure may fail or hang each request.

Its process goes on, its work advances, its server says that it is well, and whoever asks gets nothing: a connection to
a database that is gone, a device that is lost, a lock that nobody gives back. A new process may help. It would not
where the model has never answered anybody: then its code is at fault, and the new process would be no better, but worse
for the other models of a pool. Nor does a caller say anything that waits for less time than answers take.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from deployments.execution.attempt import Begun
from deployments.observability import log
from deployments.policy.outcome import Answered, Blank, Failed, Outcome, TimedOut

FRUITLESS_S = 20.0
"""Seconds from the first to the last of a row of failures after which a replica is to be replaced. A pause is no
failure: some bad requests of one caller, and nobody who asks behind them, say nothing."""

RECENT_S = 120.0
"""Seconds after which a failure is no longer in a row with the next one. Who is passed over for its failures is asked
again within so much time."""

LEAST_FAILURES = 3
"""Failures in a row that say something: one caller may send what every model fails at."""

LEAST_WAIT_S = 1.0
"""Seconds that a caller must have waited, at the least, for its going away to count as a failure."""

_RECENT_ANSWERS = 16
"""Answers whose slowest says for how long a caller has to wait."""


class FruitlessError(Exception):
    """A replica answers nobody any more. Serve replaces a replica whose health check raises this."""


class AnswerCount:
    """The failures of one replica since its last answer."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """Begin without any; `clock` gives seconds since any moment, by default the event loop's."""
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._answered: set[str] = set()
        self._taken: deque[float] = deque(maxlen=_RECENT_ANSWERS)
        self._failures = 0
        self._first = self._last = 0.0

    def began(self) -> float:
        """Return when a request has come, for `ended` or `given_up`."""
        return self._clock()

    def ended(self, outcome: Outcome | Begun, began: float, model: str) -> None:
        """Note what a request for `model` has come to; what was refused or rejected says nothing."""
        if isinstance(outcome, (Answered, Begun)):
            self._taken.append(self._clock() - began)
            self._answered.add(model)
            self._failures = 0
        elif isinstance(outcome, (Blank, TimedOut)) or (isinstance(outcome, Failed) and not outcome.misfit):
            self._fail(model)

    def given_up(self, began: float, model: str) -> None:
        """Note that the caller of a request for `model` has gone, or has been answered by somebody else."""
        if self._clock() - began >= max([LEAST_WAIT_S, *self._taken]):
            self._fail(model)

    def require_answers(self, name: str) -> None:
        """Hold the replica of the model `name` to answering anybody.

        Raises:
            FruitlessError: it has failed or hung every request for `FRUITLESS_S`, of models that have answered before.
        """
        seconds = self._last - self._first
        if self._failures >= LEAST_FAILURES and seconds >= FRUITLESS_S:
            log.replica_fruitless(name, self._failures, seconds)
            raise FruitlessError(f"{name}: none of the last {self._failures} requests was answered ({seconds:.0f} s)")

    def _fail(self, model: str) -> None:
        if model not in self._answered:
            return
        now = self._clock()
        if not self._failures or now - self._last > RECENT_S:
            self._failures, self._first = 0, now
        self._failures, self._last = self._failures + 1, now
