"""What each request was owed, and what it got.

A request is owed one well-formed answer that is not blank, within its deadline and half a second, from any host that a
load balancer would send it to. A stream is owed its first content by then, no silence that is longer than the policy
allows, and a last event with the whole answer.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from deployments.policy.blank import is_blank
from deployments.settings import PolicySettings
from tests.cluster.hosts import Outage

GRACE_S = 0.5
STREAMS = PolicySettings().streams
SILENCE_S = STREAMS.stall_seconds + STREAMS.continue_seconds + GRACE_S
"""The longest silence within a stream: until it counts as stalled, and until another model has gone on with it."""

TOLD = 12
"""So many are told one by one of those that did not get what they were owed, and of those that got the last resort."""
TIERS = ("primary", "backup", "last_resort")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request, and what became of it.

    Attributes:
        started: when it was sent, on the monotonic clock.
        seconds: until its answer was read, or it was given up.
        host: the address it was sent to.
        kind: whole, or a stream.
        deadline_s: what it asked for.
        first_s: seconds until the first content, of a stream; `seconds` of a whole answer.
        silence_s: the longest silence within the stream.
        status: the HTTP status; 0 where there was no response.
        served_by: the tier, as the answer says.
        result: its text.
        ended: there was a last event with the whole answer; of a whole answer, its body could be read.
        error: why the connection broke, if it did.
    """

    started: float
    seconds: float
    host: str
    kind: Literal["whole", "stream"]
    deadline_s: float
    first_s: float = float("inf")
    silence_s: float = 0.0
    status: int = 0
    served_by: str = ""
    result: str = ""
    ended: bool = False
    error: str = ""
    attempts: str = ""


class Verdict(StrEnum):
    """What a request got; the first two are what it was owed.

    A stream that is cut ends as if it were whole, one that is broken off by its connection: whoever reads it is told.
    """

    ANSWERED = "answered"
    LAST_RESORT = "last resort"
    LATE = "late"
    LOST = "lost"
    CUT = "cut"
    BROKEN = "broken off"
    BLANK = "blank"
    UNREACHABLE = "its host was down"


GOOD = (Verdict.ANSWERED, Verdict.LAST_RESORT, Verdict.UNREACHABLE)


def judge(sent: Sent, outages: Iterable[Outage] = ()) -> Verdict:
    """What `sent` got. One whose own host was down while it was under way is not counted against the service."""
    verdict = _judge(sent)
    if verdict in {Verdict.ANSWERED, Verdict.LAST_RESORT}:
        return verdict
    end = sent.started + sent.seconds
    if any(out.host == sent.host and out.since <= end and sent.started <= out.until for out in outages):
        return Verdict.UNREACHABLE
    return verdict


def _judge(sent: Sent) -> Verdict:
    begun = sent.kind == "stream" and sent.first_s < float("inf")
    if not sent.ended:
        return (Verdict.BROKEN if sent.error else Verdict.CUT) if begun else Verdict.LOST
    if sent.status not in {200, 503, 504} or sent.served_by not in TIERS:
        return Verdict.LOST
    if is_blank(sent.result):
        return Verdict.BLANK
    if min(sent.first_s, sent.seconds) > sent.deadline_s + GRACE_S or sent.silence_s > SILENCE_S:
        return Verdict.LATE
    return Verdict.LAST_RESORT if sent.served_by == "last_resort" else Verdict.ANSWERED


@dataclass(frozen=True, slots=True)
class Tally:
    """What all requests of a run got.

    Attributes:
        sent: the requests.
        verdicts: one for each.
    """

    sent: Sequence[Sent]
    verdicts: Sequence[Verdict]

    @classmethod
    def of(cls, sent: Sequence[Sent], outages: Sequence[Outage] = ()) -> "Tally":
        """Judge all of `sent`."""
        return cls(sent, [judge(one, outages) for one in sent])

    @classmethod
    def joined(cls, *tallies: "Tally") -> "Tally":
        """All that several tallies have, in the order in which it was sent."""
        judged = [pair for tally in tallies for pair in zip(tally.sent, tally.verdicts, strict=True)]
        judged.sort(key=lambda pair: pair[0].started)
        return cls([sent for sent, _ in judged], [verdict for _, verdict in judged])

    @property
    def counts(self) -> Counter[str]:
        """How many got what."""
        return Counter(verdict.value for verdict in self.verdicts)

    @property
    def bad(self) -> list[tuple[Verdict, Sent]]:
        """Those that did not get what they were owed."""
        return [(verdict, one) for verdict, one in zip(self.verdicts, self.sent, strict=True) if verdict not in GOOD]

    @property
    def last_resort_s(self) -> float:
        """The seconds from the first to the last answer of the last resort; 0 where there was none."""
        told = [one.started for verdict, one in zip(self.verdicts, self.sent, strict=True) if verdict == "last resort"]
        return max(told) - min(told) if told else 0.0

    def slowest_s(self, since: float, until: float) -> float:
        """The longest time until an answer began, of the requests that were sent between two times."""
        return max(
            (
                min(one.first_s, one.seconds)
                for verdict, one in zip(self.verdicts, self.sent, strict=True)
                if verdict != Verdict.UNREACHABLE and since <= one.started < until
            ),
            default=0.0,
        )

    def __str__(self) -> str:
        lines = [f"{len(self.sent)} requests: {dict(self.counts)}, slowest {self.slowest_s(0, float('inf')):.2f} s"]
        origin = self.sent[0].started if self.sent else 0.0
        judged = zip(self.verdicts, self.sent, strict=True)
        resorts = [(verdict, one) for verdict, one in judged if verdict is Verdict.LAST_RESORT]
        told = [*self.bad[:TOLD], *resorts[: TOLD // 2], *resorts[TOLD // 2 :][-TOLD // 2 :]]
        lines += [
            f"  {verdict} at {one.started - origin:.1f} s: {one.kind} through {one.host} {one.status} {one.served_by}, "
            f"{one.seconds:.1f} s, first {one.first_s:.1f} s {one.error} {one.attempts}"
            for verdict, one in told
        ]
        return "\n".join(lines)
