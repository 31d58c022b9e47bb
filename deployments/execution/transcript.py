"""The text of a stream so far, and the attempts that wrote it."""

from collections.abc import Sequence

from msgspec.structs import replace

from deployments.policy.attempt import Began, Ended
from deployments.policy.outcome import Answered, Finished, Outcome, Usage


class Transcript:
    """The text of one stream, and the attempts that were made for it.

    Attributes:
        length: characters of the text so far.
    """

    def __init__(self, trace: Sequence[Ended | Began]) -> None:
        """Begin with an empty text; `trace` has the attempts so far."""
        self.length = 0
        self._trace = list(trace)
        self._texts: list[str] = []
        self._usages: list[Usage | None] = []

    def add(self, text: str) -> None:
        """Append a piece of text."""
        self._texts.append(text)
        self.length += len(text)

    def extend(self, trace: Sequence[Ended | Began]) -> int:
        """Append the attempts of a continuation; return the index of the first one in the trace."""
        place = len(self._trace)
        self._trace += trace
        return place

    def close(self, place: int, outcome: Outcome | Finished, begins: int, now: float) -> None:
        """Note the end of the attempt at index `place`, whose text begins at character `begins`."""
        attempt = self._trace[place]
        if isinstance(attempt, Ended):  # its whole answer was there when it was accepted
            self._trace[place] = replace(attempt, from_character=begins)
        else:
            self._trace[place] = Ended(attempt.candidate, attempt.started, now, outcome, attempt.why, begins)
        usage = outcome.usage if isinstance(outcome, (Answered, Finished)) else None
        if self.length > begins or usage is not None:
            self._usages.append(usage)

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @property
    def trace(self) -> tuple[Ended, ...]:
        """The attempts that have ended."""
        return tuple(attempt for attempt in self._trace if isinstance(attempt, Ended))

    @property
    def usage(self) -> Usage | None:
        """Token counts of the whole text; `None` unless each attempt that wrote a part gave its counts."""
        known = [usage for usage in self._usages if usage is not None]
        if not known or len(known) < len(self._usages):
            return None
        return Usage(known[0].prompt_tokens, sum(usage.completion_tokens for usage in known))
