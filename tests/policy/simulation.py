"""Plays a chain through `next_step` on a scripted clock: what the driver does, without tasks and without a loop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from deployments.policy.answer import Answer, Attempt, Candidate, Ended, Running, Tier
from deployments.policy.chain import FallbackChain, Finish, Start, Step, WaitUntil, next_step
from deployments.policy.deadline import Deadline, Reserves
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, TimedOut

A, B, C = (Candidate(Tier.PRIMARY, name) for name in "abc")
BACKUP = Candidate(Tier.BACKUP, "backup")
LAST_RESORT_MESSAGE = "Sorry, none of our models can answer."


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
    script: Mapping[Candidate, Part]
    steps: list[tuple[float, Step]] = field(default_factory=list)
    answer: Answer = field(init=False)
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
        ends = [(now + self.script[c].seconds, c, self.script[c].outcome) for now, c in self.starts]
        return sorted(ends, key=lambda end: end[0])

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """The trace: model and outcome of each attempt."""
        return [(attempt.candidate.model, attempt.outcome.name) for attempt in self.answer.attempts]


def play(chain: FallbackChain, script: Mapping[Candidate, Part]) -> Played:
    """Run `chain` to its answer."""
    played = Played(chain, script)
    attempts: list[Attempt] = []
    now = chain.deadline.start
    for _ in range(100):
        step = next_step(chain, attempts, now)
        played.steps.append((now, step))
        match step:
            case Finish(answer):
                played.answer, played.finished = answer, now
                return played
            case Start(candidate):
                attempts.append(Running(candidate, now))
            case WaitUntil(until):
                assert until > now, "a wait is for something"
                ends = [_end(attempt, script) for attempt in attempts if isinstance(attempt, Running)]
                assert ends, "nobody is waited for"
                now = min(until, *ends)
                attempts = [_settle(attempt, script, now) for attempt in attempts]
    raise AssertionError("the chain does not come to an end")


def _end(attempt: Attempt, script: Mapping[Candidate, Part]) -> float:
    return attempt.started + script[attempt.candidate].seconds


def _settle(attempt: Attempt, script: Mapping[Candidate, Part], now: float) -> Attempt:
    if isinstance(attempt, Ended) or _end(attempt, script) > now:
        return attempt
    return Ended(attempt.candidate, attempt.started, now, script[attempt.candidate].outcome)


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
        backup_s=st.floats(0.01, 60),
        backup_share=st.floats(0, 1),
        last_resort_s=st.floats(0.01, 10),
        last_resort_share=st.floats(0.01, 0.99),
    ),
)


@st.composite
def plays(draw: st.DrawFn) -> Played:
    """Any chain of up to three primaries with or without a backup, any outcomes, any durations; played."""
    candidates = (A, B, C)[: draw(st.integers(0, 3))] + ((BACKUP,) if draw(st.booleans()) else ())
    chain = FallbackChain(candidates, draw(DEADLINES), LAST_RESORT_MESSAGE)
    return play(chain, {candidate: draw(PARTS) for candidate in candidates})
