"""What a prompt that is longer than usual says about its model: nothing, within bounds."""

import math

from deployments.policy.breaker import BreakerPolicy, Closed, Open
from deployments.policy.model_state import MOST_EXCUSED
from deployments.policy.outcome import Answered, TimedOut
from deployments.policy.permit import Permit
from deployments.policy.resilience import ResiliencePolicy, ResilienceState
from deployments.policy.silence import Patience, SilencePolicy
from deployments.policy.terms import Terms
from tests.policy.states import a_guard, admit, attempt

SHORT, LONG = Terms(streamed=True, prompt_size=1000), Terms(streamed=True, prompt_size=10_000)
LATE = TimedOut("no first content within 10 s")


def with_history(policy: ResiliencePolicy | None = None) -> ResilienceState:
    """A model that has answered thirty short prompts, each in half a second."""
    resilience = a_guard(policy)
    for each in range(30):
        attempt(resilience, Answered("x"), each, each + 0.5, terms=SHORT)
    return resilience


def patience(resilience: ResilienceState, terms: Terms) -> Patience:
    permit = admit(resilience, now=100.0, terms=terms)
    assert isinstance(permit, Permit)
    return permit.patience


def test_the_patience_with_a_prompt_grows_with_its_length_beyond_the_longest_answered_one() -> None:
    resilience = with_history(ResiliencePolicy(silence=SilencePolicy(factor=3.0)))

    assert patience(resilience, SHORT).silent_s == 1.5
    assert patience(resilience, Terms(streamed=True, prompt_size=10)).silent_s == 1.5
    assert patience(resilience, LONG).silent_s == 15.0
    assert patience(resilience, LONG).failed_s == 15.0
    assert patience(resilience, Terms(streamed=True, prompt_size=0)).silent_s == 1.5


def test_a_long_prompt_that_was_answered_is_the_measure_of_the_next_one() -> None:
    resilience = with_history(ResiliencePolicy(silence=SilencePolicy(factor=3.0)))
    attempt(resilience, Answered("x"), 100.0, 105.0, terms=LONG)

    assert patience(resilience, LONG).silent_s == 1.5, "the largest latency is left out, and the ratio is 1"


def test_a_line_is_no_long_prompt_though_nothing_but_greetings_were_answered() -> None:
    resilience = a_guard(ResiliencePolicy(BreakerPolicy(failures=2), silence=SilencePolicy(factor=3.0)))
    for each in range(30):
        attempt(resilience, Answered("x"), each, each + 0.5, terms=Terms(streamed=True, prompt_size=2))
    line = Terms(streamed=True, prompt_size=200)

    assert patience(resilience, line).silent_s == 1.5
    for now in (110, 120):
        attempt(resilience, LATE, now, now + 9.0, terms=line)
    assert isinstance(resilience.state("a"), Open)


def test_nothing_is_known_of_a_model_without_a_history() -> None:
    assert patience(a_guard(), LONG) == Patience(math.inf, math.inf, 1.0)


def test_time_outs_of_long_prompts_open_no_breaker_while_short_ones_are_answered() -> None:
    resilience = with_history(ResiliencePolicy(BreakerPolicy(failures=2)))

    for now in range(100, 110):
        attempt(resilience, LATE, now, now + 0.5, terms=LONG)
        attempt(resilience, Answered("x"), now + 0.6, now + 0.9, terms=SHORT)
    assert resilience.state("a").epoch == Closed().epoch
    assert isinstance(resilience.state("a"), Closed)


def test_time_outs_of_short_prompts_are_evidence_as_ever() -> None:
    resilience = with_history(ResiliencePolicy(BreakerPolicy(failures=2)))

    for now in (100, 110):
        attempt(resilience, LATE, now, now + 9.0, terms=SHORT)
    assert isinstance(resilience.state("a"), Open)


def test_a_model_that_is_gone_is_found_out_though_all_prompts_are_long() -> None:
    resilience = with_history(ResiliencePolicy(BreakerPolicy(failures=2)))

    for each in range(MOST_EXCUSED + 1):
        attempt(resilience, LATE, 100 + 10 * each, 109 + 10 * each, terms=LONG)
    assert isinstance(resilience.state("a"), Closed)
    attempt(resilience, LATE, 200.0, 209.0, terms=LONG)
    assert isinstance(resilience.state("a"), Open)
