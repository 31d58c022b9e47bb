"""The bound on the work of one check: steps, which a check takes as it goes.

A step stands for about two microseconds of computing. A check that has taken all its steps is given up. The interpreter
runs one thread at a time: now and then a check sleeps for a moment, so that the event loop need not wait for its turn.
"""

import threading
import time

MAX_STEPS = 300_000
"""The most steps of one check: about half a second."""

QUICK_STEPS = 3_000
"""Steps within which most checks are done: some milliseconds."""

_STEPS_A_TURN = 1_000
_PAUSE_S = 0.0002


class TooManyStepsError(Exception):
    """A check takes more steps than it has."""


class Steps(threading.local):
    """The steps of the check that runs in this thread.

    Attributes:
        most: the steps that the check began with.
    """

    most = MAX_STEPS
    _left = MAX_STEPS
    _turn = 0

    def begin(self, most: int) -> None:
        """Begin a check that may take `most` steps."""
        self.most = self._left = most

    def take(self, number: int) -> None:
        """Take `number` steps.

        Raises:
            TooManyStepsError: so many are not left.
        """
        self._left -= number
        if self._left < 0:
            raise TooManyStepsError
        self._turn += number
        if self._turn >= _STEPS_A_TURN:
            self._turn = 0
            time.sleep(_PAUSE_S)


steps = Steps()
"""The steps of each thread's check."""
