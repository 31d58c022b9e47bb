"""Whatever happens in whatever order, a breaker keeps its rules."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from deployments.policy.breaker import (
    BURST_S,
    Admission,
    BreakerPolicy,
    BreakerState,
    Closed,
    Evidence,
    HalfOpen,
    Open,
    Span,
    admit,
    evidence,
    record,
)
from deployments.policy.outcome import Answered, Blank, Cancelled, Failed, Outcome, Refused, TimedOut

OUTCOMES = st.sampled_from(
    [Answered("x"), Blank(), Failed("boom"), TimedOut("late"), Refused("full"), Cancelled("beaten")]
)


class BreakerMachine(RuleBasedStateMachine):
    """Attempts come, end in any order and with any outcome, and time passes."""

    permits = Bundle("permits")

    @initialize(failures=st.integers(1, 4), probes=st.integers(1, 3))
    def begin(self, failures: int, probes: int) -> None:
        self.policy = BreakerPolicy(
            failures=failures, open_seconds=10.0, open_max_seconds=10.0, probes=probes, window_min_attempts=1 << 30
        )
        self.state: BreakerState = Closed()
        self.now = 0.0
        self.under_way: list[Admission] = []
        self.failures_in_a_row = 0
        self.failed_at = 0.0

    def belongs_to_the_last(self, started: float) -> bool:
        """One burst is one event: it ran while the last one failed, and failed hardly later."""
        recent = self.failures_in_a_row > 0 and self.now <= self.failed_at + BURST_S
        return recent and started < self.failed_at

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def an_attempt_asks_for_leave(self) -> object:
        before = self.state
        self.state, leave = admit(before, self.policy, self.now)
        assert isinstance(leave, Refused) == self.must_refuse(before)
        if isinstance(leave, Refused):
            assert self.state == before
            return multiple()
        assert leave.epoch == self.state.epoch
        self.under_way.append(leave)
        return leave, self.now

    def must_refuse(self, state: BreakerState) -> bool:
        match state:
            case Open():
                return self.now < state.until
            case HalfOpen():
                return self.probes_of(state) >= self.policy.probes
            case Closed():
                return False

    def probes_of(self, state: HalfOpen) -> int:
        return self.under_way.count(Admission(state.epoch, probe=True))

    @rule(given=consumes(permits), outcome=OUTCOMES)
    def an_attempt_ends(self, given: tuple[Admission, float], outcome: Outcome) -> None:
        permit, started = given
        self.under_way.remove(permit)
        before, said = self.state, evidence(outcome)
        self.state = record(before, self.policy, permit, outcome, Span(started, self.now), 0.5)
        if permit.epoch != before.epoch or said is Evidence.NEUTRAL:
            assert type(self.state) is type(before)
            assert self.state.epoch == before.epoch
        elif isinstance(before, HalfOpen):
            self.failures_in_a_row = 0
            assert isinstance(self.state, Closed if said is Evidence.SUCCESS else Open)
        else:
            if said is Evidence.SUCCESS:
                self.failures_in_a_row = 0
            elif isinstance(outcome, TimedOut) or not self.belongs_to_the_last(started):
                self.failures_in_a_row, self.failed_at = self.failures_in_a_row + 1, self.now
            opened = self.failures_in_a_row >= self.policy.failures
            assert isinstance(self.state, Open) == opened
        if isinstance(self.state, Open) and not isinstance(before, Open):
            self.failures_in_a_row = 0
            assert self.now < self.state.until <= self.now + self.policy.open_max_seconds

    @invariant()
    def probes_are_counted_and_bounded(self) -> None:
        if isinstance(self.state, HalfOpen):
            assert self.state.probing == self.probes_of(self.state)
            assert self.state.probing <= self.policy.probes

    @invariant()
    def failures_are_counted_from_the_last_answer(self) -> None:
        if isinstance(self.state, Closed):
            assert self.state.failures == self.failures_in_a_row < self.policy.failures

    def teardown(self) -> None:
        if not hasattr(self, "policy"):
            return
        for permit in self.under_way:
            self.state = record(self.state, self.policy, permit, Cancelled("the end"), Span(self.now, self.now), 0.5)
        self.state, leave = admit(self.state, self.policy, self.now + self.policy.open_seconds)
        assert isinstance(leave, Admission), "a breaker whose attempts are over lets one through again"
        self.state = record(self.state, self.policy, leave, Answered("x"), Span(self.now, self.now), 0.5)
        assert isinstance(self.state, Closed), "an answer closes it"


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
