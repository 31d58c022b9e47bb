"""The text of a stream so far, what was given beside it, and the attempts that wrote it."""

from collections.abc import Sequence

from msgspec.structs import replace

from deployments.policy.attempt import Began, Ended
from deployments.policy.extras import Extras, combine
from deployments.policy.outcome import Answered, Finished, Outcome, Usage
from deployments.policy.token_estimate import estimate_tokens


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
        self._pieces = 0
        self._extras: list[Extras] = []
        self._known: list[Usage] = []  # the token counts of each attempt that gave its own
        self._estimated: list[int] = []  # estimates of the tokens that each of the others wrote

    def add(self, text: str) -> None:
        """Append a piece of text."""
        self._texts.append(text)
        self._pieces += 1
        self.length += len(text)

    def add_extras(self, extras: Extras) -> None:
        """Append what was given beside the text."""
        self._extras.append(extras)

    def extend(self, trace: Sequence[Ended | Began]) -> int:
        """Append the attempts of a continuation; return the index of the first one in the trace."""
        place = len(self._trace)
        self._trace += trace
        return place

    def close(self, place: int, outcome: Outcome | Finished, begins: int, now: float) -> None:
        """Note the end of the attempt at index `place`, whose text begins at character `begins`."""
        attempt = self._trace[place]
        if isinstance(attempt, Began):  # of a whole answer the attempt had ended when it was accepted
            attempt = Ended(attempt.candidate, attempt.started, now, outcome, attempt.why)
        self._trace[place] = replace(attempt, from_character=begins)
        usage = outcome.usage if isinstance(outcome, (Answered, Finished)) else None
        if usage is not None:
            self._known.append(usage)
        elif self.length > begins:
            self._estimated.append(estimate_tokens(self.text[begins:], self._pieces))
        self._pieces = 0

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
    def extras(self) -> Extras:
        """All that was given beside the text; without the details of token counts where several attempts wrote it."""
        extras = combine(self._extras)
        several = len(self._known) + len(self._estimated) > 1
        return replace(extras, usage={}) if extras.usage and several else extras

    @property
    def usage(self) -> Usage | None:
        """Token counts of the whole text; `None` where no attempt gave its counts.

        The counts of attempts that wrote a part without giving their counts are estimated: see `is_estimated`.
        """
        if not self._known:
            return None
        written = sum(usage.completion_tokens for usage in self._known) + sum(self._estimated)
        return Usage(self._known[0].prompt_tokens, written)

    @property
    def is_estimated(self) -> bool:
        """Whether a part of `usage` is estimated."""
        return bool(self._known and self._estimated)
