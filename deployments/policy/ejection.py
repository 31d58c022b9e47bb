"""Which replicas fail every call: outlier detection, as Envoy has it (consecutive failures, ejection times that grow).

A breaker judges a model. Of several replicas one may fail or hang everything while the others answer: half of the
requests then fail, and the breaker never opens. So each replica is judged by its own row of failures. One that is
ejected gets no calls while another replica can take them; then it is tried again, and one failure more ejects it for
twice as long. One that has failed a call, or refused it because it loads, gets none for a moment, either: it has the
fewest requests under way, and would be sent the retry (Envoy's predicate `previous_hosts` keeps retries from it, too).
"""

from dataclasses import dataclass

FAILURES = 3
"""Failures in a row that eject a replica."""

FIRST_S, LONGEST_S = 30.0, 300.0
"""Seconds for which a replica is ejected: the first time, and at most. Envoy's, too: who tries a replica again is a
caller, and each router tries by itself."""

FAILED_S = 0.5
"""Seconds for which a replica is passed over that has failed a call: longer than the first pauses before a retry."""

LOADING_S = 2.0
"""Seconds for which a replica is passed over that has refused a call because it loads. By then whoever deploys it has
told all routers how it is."""

MOST = 1024
"""Replicas that are remembered: many more than there are."""


@dataclass(slots=True)
class _Row:
    """The failures of a replica since its last answer, how often it was ejected, and until when it is or rests."""

    failures: int = 0
    ejections: int = 0
    until: float = 0.0
    rests_until: float = 0.0


class Ejections:
    """The replicas that fail every call of one process, by the ids of their actors."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[str, _Row] = {}

    def answered(self, actor: str) -> None:
        """Note that a replica has answered."""
        if self._rows:
            self._rows.pop(actor, None)

    def failed(self, actor: str, now: float) -> bool:
        """Note that a replica has failed a call, or has not answered it; return whether that ejects it."""
        row = self._row(actor)
        row.failures += 1
        row.rests_until = max(row.rests_until, now + FAILED_S)
        if row.failures < FAILURES or now < row.until:
            return False
        row.until = now + min(LONGEST_S, FIRST_S * 2**row.ejections)
        row.ejections = min(row.ejections + 1, 10)
        return True

    def loads(self, actor: str, now: float) -> None:
        """Note that a replica has refused a call because it loads."""
        row = self._row(actor)
        row.rests_until = max(row.rests_until, now + LOADING_S)

    def is_passed_over(self, actor: str, now: float) -> bool:
        """Return whether a replica gets no calls at `now` while another one can take them."""
        row = self._rows.get(actor) if self._rows else None
        return row is not None and now < max(row.until, row.rests_until)

    def _row(self, actor: str) -> _Row:
        row = self._rows.setdefault(actor, _Row())
        if len(self._rows) > MOST:
            del self._rows[next(iter(self._rows))]
        return row
