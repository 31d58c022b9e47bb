"""What really happened in a run, as the scripted side saw it: what the answers are held against."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.policy.extras import Extras
from deployments.policy.outcome import Finished, Outcome, StreamItem
from tests.simulation.script import ScriptedError

_TOKEN = re.compile(r"q\d+q(?:p\d)?")
_OURS = frozenset({"internal_error", "task_ended"})
_A_BUG = re.compile(r"\b(Type|Attribute|Name|UnboundLocal|Lookup|Key|Index|Assertion|NotImplemented|Recursion)Error\b")
"""What no network and no provider raises: our code has called something that is not there, or in a wrong way."""


@dataclass(slots=True)
class Call:
    """One call that reached a scripted model.

    Attributes:
        number: of all calls of the run.
        model: who was asked.
        token: of the request that it was made for.
        streamed: a stream was asked for.
        prefix: the text that it was to carry on with.
        started: when.
        ended: when it was over; `None` while it goes on.
        outcome: the name of how it ended by itself; `cancelled` or `closed` where it was ended from outside.
        texts: what it has given of a stream.
        moments: when it has given something of it, if only a sign that it is at work.
        raised: it raised, against the promise of a caller.
        retry_after_s: seconds after which it wants to be asked again.
        transient: it says that it could do it if it was asked again.
        died: its replica died under it.
    """

    number: int
    model: str
    token: str
    streamed: bool
    prefix: str
    started: float
    ended: float | None = None
    outcome: str = ""
    texts: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    raised: bool = False
    retry_after_s: float = 0.0
    transient: bool = False
    died: bool = False

    def gives(self, item: StreamItem) -> None:
        """Note an item of the stream before it is given."""
        self.moments.append(_now())
        if isinstance(item, str):
            self.texts.append(item)
        elif not isinstance(item, Extras):
            self.end(item)

    def end(self, outcome: Outcome | Finished | str, *, raised: bool = False) -> None:
        """Note the end; only the first counts."""
        if self.ended is not None:
            return
        self.ended = asyncio.get_running_loop().time()
        self.raised = raised
        self.outcome = outcome if isinstance(outcome, str) else outcome.name
        self.retry_after_s = getattr(outcome, "retry_after_s", 0.0)
        self.transient = getattr(outcome, "transient", False)


@dataclass(slots=True)
class Record:
    """The history of one run.

    Attributes:
        calls: all calls, in the order of their starts.
        events: whatever else happened: when, what, and a detail.
    """

    calls: list[Call] = field(default_factory=list)
    events: list[tuple[float, str, Any]] = field(default_factory=list)

    def begin(self, model: str, text: str, *, streamed: bool, prefix: str) -> Call:
        """A call has come."""
        found = _TOKEN.search(text)
        call = Call(len(self.calls), model, found[0] if found else "", streamed, prefix, _now())
        self.calls.append(call)
        return call

    def note(self, what: str, detail: Any = None) -> None:
        """Something has happened."""
        self.events.append((_now(), what, detail))

    def of(self, token: str) -> list[Call]:
        """The calls that were made for one request."""
        return [call for call in self.calls if call.token == token]

    def has(self, what: str) -> bool:
        """Whether something has happened."""
        return any(event == what for _, event, _ in self.events)


def _now() -> float:
    return asyncio.get_running_loop().time()


def own_fault(event: str, fields: Mapping[str, Any]) -> str:
    """What a log line tells of a fault of ours, or of what plays a part in the test; empty where it tells of none."""
    error = fields.get("exc_info") or fields.get("exception")
    if (event in _OURS or error is not None) and not isinstance(error, ScriptedError):
        return f"{event} {fields.get('where', '')} {error!r}"
    return f"{event} {fields['reason']}" if _A_BUG.search(str(fields.get("reason", ""))) else ""


class NotedLog:
    """Notes log lines where `structlog` would write them."""

    def __init__(self, lines: list[tuple[str, str, dict[str, Any]]]) -> None:
        self._lines = lines

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **fields: self._lines.append((level, event, fields))

    def log(self, level: int, event: str, **fields: Any) -> None:
        self._lines.append((str(level), event, fields))
