"""Plays a chain through `next_step` on a scripted clock: what the driver does, without tasks and without a loop."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from deployments.policy.allowance import Allowance
from deployments.policy.answer import Answer, winning_answer
from deployments.policy.attempt import Attempt, Began, Candidate, Ended, Running, Tier
from deployments.policy.chain import FallbackChain
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.last_resort import LastResort
from deployments.policy.next_step import Accept, Exhausted, Reject, Start, Step, WaitUntil, next_step
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, Rejected, TimedOut

A, B, C = (Candidate(Tier.PRIMARY, name) for name in "abc")
BACKUP = Candidate(Tier.BACKUP, "backup")
EVERYTHING = Allowance()
LAST_RESORT_MESSAGE = "Sorry, none of our models can answer."
LAST_RESORT = LastResort(LAST_RESORT_MESSAGE)


@dataclass(frozen=True, slots=True)
class Part:
    """What a candidate does when it is asked: `outcome` after `seconds`; infinity never ends."""

    outcome: Outcome
    seconds: float = 0.0


def answers(seconds: float = 0.0, result: str = "fine") -> Part:
    return Part(Answered(result), seconds)


def fails(seconds: float = 0.0) -> Part:
    return Part(Failed("boom"), seconds)


HANGS = Part(Failed("never reached"), math.inf)


@dataclass(slots=True)
class Played:
    """How it went: every step with its time, and the answer with its time."""

    chain: FallbackChain
    script: Mapping[Candidate, Part | Sequence[Part]]
    steps: list[tuple[float, Step]] = field(default_factory=list)
    answer: Answer = field(init=False)
    rejected: Rejected | None = None
    trace: tuple[Ended, ...] = ()
    finished: float = field(init=False)

    @property
    def starts(self) -> list[tuple[float, Candidate]]:
        """Who was asked, and when."""
        return [(now, step.candidate) for now, step in self.steps if isinstance(step, Start)]

    def started(self, candidate: Candidate) -> float:
        """When `candidate` was asked; infinity if it never was."""
        return next((now for now, asked in self.starts if asked == candidate), math.inf)

    @property
    def ends(self) -> list[tuple[float, Candidate, Outcome]]:
        """When the script lets each attempt end, cut off or not, earliest first."""
        asked: list[Candidate] = []
        ends = []
        for now, candidate in self.starts:
            part = _part(self.script, candidate, asked.count(candidate))
            asked.append(candidate)
            ends.append((now + part.seconds, candidate, part.outcome))
        return sorted(ends, key=lambda end: end[0])

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """The trace: model and outcome of each attempt."""
        return [(attempt.candidate.model, attempt.outcome.name) for attempt in self.answer.attempts]


def play(
    chain: FallbackChain,
    script: Mapping[Candidate, Part | Sequence[Part]],
    allowance: Allowance = EVERYTHING,
    patience: Mapping[Candidate, float] | None = None,
) -> Played:
    """Run `chain` to its answer, or until it is handed back. A candidate with several parts plays one an attempt.

    `patience` holds the seconds after which a silence is too long for its model, where that is known.
    """
    played = Played(chain, script)
    attempts: list[Attempt] = []
    now = chain.deadline.start
    for _ in range(100):
        step = next_step(chain, attempts, now, allowance)
        played.steps.append((now, step))
        match step:
            case Accept(place, trace):
                played.answer, played.trace, played.finished = _answer(chain, place, trace), _ended(trace), now
                return played
            case Exhausted(trace):
                played.answer, played.trace, played.finished = LAST_RESORT.answer(trace), trace, now
                return played
            case Reject(rejected, trace):
                played.rejected, played.trace, played.finished = rejected, trace, now
                return played
            case Start(candidate, why):
                attempts.append(Running(candidate, now, why, patience_s=(patience or {}).get(candidate, math.inf)))
            case WaitUntil(until):
                assert until > now, "a wait is for something"
                ends = [_end(attempts, place, script) for place, a in enumerate(attempts) if isinstance(a, Running)]
                now = min([until, *ends])
                attempts = [_settle(attempts, place, script, now) for place in range(len(attempts))]
    raise AssertionError("the chain does not come to an end")


def _answer(chain: FallbackChain, place: int, trace: Sequence[Ended | Began]) -> Answer:
    winner = trace[place]
    assert isinstance(winner, Ended)
    assert isinstance(winner.outcome, Answered)
    return winning_answer(chain.candidates[0], winner.candidate, winner.outcome, _ended(trace))


def _ended(trace: Sequence[Ended | Began]) -> tuple[Ended, ...]:
    return tuple(attempt for attempt in trace if isinstance(attempt, Ended))


def _part(script: Mapping[Candidate, Part | Sequence[Part]], candidate: Candidate, number: int) -> Part:
    parts = script[candidate]
    return parts if isinstance(parts, Part) else parts[min(number, len(parts) - 1)]


def _part_of(attempts: Sequence[Attempt], place: int, script: Mapping[Candidate, Part | Sequence[Part]]) -> Part:
    candidate = attempts[place].candidate
    return _part(script, candidate, [attempt.candidate for attempt in attempts[:place]].count(candidate))


def _end(attempts: Sequence[Attempt], place: int, script: Mapping[Candidate, Part | Sequence[Part]]) -> float:
    return attempts[place].started + _part_of(attempts, place, script).seconds


def _settle(
    attempts: Sequence[Attempt], place: int, script: Mapping[Candidate, Part | Sequence[Part]], now: float
) -> Attempt:
    attempt = attempts[place]
    if isinstance(attempt, Ended) or _end(attempts, place, script) > now:
        return attempt
    outcome = _part_of(attempts, place, script).outcome
    return Ended(attempt.candidate, attempt.started, now, outcome, attempt.why)


OUTCOMES = st.sampled_from(
    [Answered("fine"), Answered(0), Blank(), Failed("boom"), TimedOut("late"), Refused("full"), Cancelled("stopped")]
)
PARTS = st.builds(Part, OUTCOMES, st.just(0.0) | st.just(math.inf) | st.floats(0, 60))
DEADLINES = st.builds(
    Deadline.after,
    st.just(0.0) | st.floats(0, 1e6),
    st.floats(0.05, 60),
    st.builds(
        Reserves,
        backup_seconds=st.floats(0.01, 60),
        backup_share=st.floats(0, 1),
        last_resort_seconds=st.floats(0.01, 10),
        last_resort_share=st.floats(0.01, 0.99),
    ),
)


@st.composite
def plays(draw: st.DrawFn) -> Played:
    """Any chain of up to three primaries with or without a backup, any outcomes, durations and patience; played."""
    candidates = (A, B, C)[: draw(st.integers(0, 3))] + ((BACKUP,) if draw(st.booleans()) else ())
    chain = FallbackChain(candidates, draw(DEADLINES))
    patience = {candidate: draw(st.just(math.inf) | st.floats(0.01, 60)) for candidate in candidates}
    return play(chain, {candidate: draw(PARTS) for candidate in candidates}, patience=patience)
