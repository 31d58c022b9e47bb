"""How fast a model writes, and when a stream crawls: it writes a tenth of what its model usually does.

Paces are characters in each second for which the model was waited for. The time that a slow reader takes is not the
model's, and neither is the time until the first content.
"""

from deployments.policy.quantile import Latencies

CRAWL_SHARE = 0.1
"""A stream crawls below this share of its model's usual pace."""

_MIN_SAMPLES = 20
"""Streams of a model that are needed before its pace is believed."""

_MIN_CHARACTERS, _MIN_SECONDS = 16, 0.02
"""What a stream has to have, behind its first content, before it says anything about the pace of its model."""

_ONE_EVENT_S = 0.001
"""The longest wait between what stands beside a text and the text, where both came in one event of the model's."""


class PaceEstimator:
    """The usual paces of models, by the streams that they have brought to their end of late."""

    def __init__(self) -> None:
        """Start without any observation."""
        self._seen = Latencies()

    def add(self, model: str, meter: "PaceMeter") -> None:
        """Add what `meter` has measured of a stream that has come to its proper end."""
        if meter.is_telling:
            self._seen.add(model, meter.characters / meter.waited_s, streamed=True)

    def usual(self, model: str) -> float:
        """Return the median pace of `model`, in characters per second; 0 where too little is known."""
        seen = self._seen.of(model, streamed=True)
        return seen.value(0.5) if seen.count >= _MIN_SAMPLES else 0.0


class PaceMeter:
    """Measures the pace of one stream behind its first content.

    Attributes:
        characters: written so far.
        waited_s: seconds for which the model was waited for.
        crawls: the stream has crawled for `crawl_s` seconds.
    """

    def __init__(self, usual: float, crawl_s: float, now: float) -> None:
        """Measure a stream that has begun at `now`.

        Args:
            usual: the usual pace of its model, in characters per second; 0 where it is not known.
            crawl_s: seconds at a tenth of that pace after which the stream crawls.
            now: the time.
        """
        self._least = CRAWL_SHARE * usual
        self._crawl_s = crawl_s
        self._began = self._ended = now
        self.characters, self.waited_s = 0, 0.0
        self._recent, self._recent_s = 0, 0.0
        self._beside_s, self._is_at_work = 0.0, False  # since the last piece of the text
        self.crawls = False

    def note(self, characters: int, waited_s: float, now: float) -> None:
        """Note a piece of the text, for which the model was waited for `waited_s` seconds.

        A piece of no characters says that the model is at work in another way (it reasons, or writes a tool call), so
        that its pace says nothing.
        """
        self._ended = now
        self.characters += characters
        self.waited_s += waited_s
        beside_s, self._beside_s = self._beside_s, 0.0
        is_another_work = self._is_at_work and waited_s > _ONE_EVENT_S
        self._is_at_work = False
        if characters == 0 or is_another_work:
            self._recent, self._recent_s, beside_s = 0, 0.0, 0.0
        if characters == 0:
            return
        self._recent += characters
        self._recent_s += beside_s + waited_s
        if self._recent_s >= self._crawl_s:
            self.crawls = self._recent < self._least * self._recent_s
            self._recent, self._recent_s = 0, 0.0

    def note_beside(self, waited_s: float, now: float, *, at_work: bool) -> None:
        """Note what stands beside the text, for which the model was waited for `waited_s` seconds.

        The wait is that of the text which comes with it, as with log probabilities.

        Args:
            waited_s: seconds.
            now: the time.
            at_work: it may be work of another kind (reasoning), and is that where no text comes in the same event.
        """
        self._ended = now
        self.waited_s += waited_s
        if at_work and self._is_at_work:
            self._recent, self._recent_s, self._beside_s = 0, 0.0, 0.0
        self._is_at_work = self._is_at_work or at_work
        self._beside_s += waited_s

    @property
    def is_telling(self) -> bool:
        """Whether the stream says something about the pace of its model: it was long enough, and was read as written.

        What waits in a buffer, as the reader is slow, seems to be written in no time.
        """
        is_long = self.characters >= _MIN_CHARACTERS and self.waited_s >= _MIN_SECONDS
        return is_long and self.waited_s >= 0.5 * (self._ended - self._began)
