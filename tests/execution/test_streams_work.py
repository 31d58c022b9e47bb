"""Streams whose model is at work, stalls by its own measure, or crawls; on virtual time."""

import pytest

from deployments.execution.streams import open_stream
from deployments.policy.attempt import Candidate
from deployments.policy.breaker import Closed, Open
from deployments.policy.chain import FallbackChain
from deployments.policy.continuation import StreamLimits, StreamPolicy
from deployments.policy.deadline import Deadline
from deployments.policy.extras import Extras
from deployments.policy.outcome import PUT_BEHIND, Refused
from deployments.policy.resilience import ResilienceState
from deployments.policy.stream_events import ExtrasDelta, StreamDone, TextDelta
from tests.execution.driving import BACKUP, RESERVES, A, B, an_execution, clock, new_state
from tests.execution.streaming import Read, read
from tests.streamers import Beat, ScriptedStreamer, ends, hangs, says, streams

pytestmark = pytest.mark.looptime(idle_timeout=1)

RULES = StreamPolicy()
REASONING = [Beat("", 0.5) for _ in range(28)]
"""Fourteen seconds of it."""

SENTENCE = "A text of forty characters, more or less."


async def ask(
    clients: dict[Candidate, ScriptedStreamer],
    resilience: ResilienceState,
    limits: dict[str, StreamLimits] | None = None,
    rules: StreamPolicy = RULES,
) -> Read:
    """Ask within 30 seconds, by the default policy of streams."""
    chain = FallbackChain(
        tuple(clients),
        Deadline.after(clock(), 30.0, RESERVES),
        first_content_s=rules.first_content_seconds,
        reasoning_s=rules.reasoning_seconds,
        limits=limits or {},
        usual_s=30.0,
    )
    stream = await open_stream(an_execution(chain, clients, resilience), rules)
    got = Read(stream.head, [], [], clock())
    async for item in stream:
        if isinstance(item, StreamDone):
            got.answers.append(item.answer)
        elif not isinstance(item, ExtrasDelta):
            assert isinstance(item, TextDelta)
            got.texts.append(item)
    return got


async def test_a_model_that_reasons_for_longer_than_the_first_content_may_take_answers() -> None:
    resilience = new_state(failures=1)
    model = streams([*REASONING, *says("Fourteen."), *ends()])

    got = await ask(
        {A: model, B: streams([*says("from b"), *ends()]), BACKUP: streams([*says("b"), *ends()])}, resilience
    )

    assert (got.text, got.opened, got.trace) == ("Fourteen.", 14.0, [("a", "answered", "next", 0)])
    assert isinstance(resilience.state("a"), Closed)


async def test_blank_texts_are_signs_of_life_as_well() -> None:
    model = streams([*[Beat(" ", 4.0) for _ in range(4)], *says("At last."), *ends()])

    got = await ask({A: model, BACKUP: streams([*says("b"), *ends()])}, new_state())

    assert got.text.strip() == "At last."


async def test_a_model_that_only_reasons_has_the_next_one_started_at_its_limit_and_is_charged() -> None:
    resilience = new_state(failures=1)
    rules = StreamPolicy(reasoning_seconds=12.0)
    endless = streams([Beat("", 0.5) for _ in range(1000)])

    got = await ask({A: endless, B: streams([*says("from b"), *ends()])}, resilience, rules=rules)

    assert (got.text, got.opened) == ("from b", 12.0)
    assert isinstance(resilience.state("a"), Open)


async def test_a_model_that_was_at_work_when_the_backup_answered_is_not_charged() -> None:
    resilience = new_state(failures=1)
    endless = streams([Beat("", 0.5) for _ in range(1000)])

    got = await ask({A: endless, BACKUP: streams([*says("b"), *ends()])}, resilience)

    assert (got.text, got.opened) == ("b", 20.0)
    assert [name for _, name, _, _ in got.trace] == ["cancelled", "answered"]
    assert resilience.state("a") == Closed()


async def test_one_model_has_its_own_limit_of_the_first_content() -> None:
    slow, soon = streams([*says("slow", every_s=14.0), *ends()]), [*says("soon"), *ends()]

    patient = await ask({A: slow, B: streams(soon)}, new_state(), {"a": StreamLimits(first_content_s=18.0)})
    hurried = await ask({A: streams(hangs()), B: streams(soon)}, new_state(), {"a": StreamLimits(first_content_s=2.0)})

    assert patient.text == "slow"
    assert hurried.text == "soon"
    assert hurried.opened == pytest.approx(clock())


async def test_one_model_has_its_own_limit_of_silences() -> None:
    pausing = streams([*says("One "), Beat("two.", 25.0), *ends()])

    got = await ask({A: pausing, B: streams([*says("never"), *ends()])}, new_state(), {"a": StreamLimits(stall_s=30.0)})

    assert got.text == "One two."


# --- crawling ---------------------------------------------------------------------------------------


async def a_known_pace(resilience: ResilienceState) -> None:
    """`a` usually writes some forty characters every 0.1 s."""
    usual = streams([*says("Begin. ", *[SENTENCE] * 10, every_s=0.1), *ends()])
    for _ in range(20):
        await read({A: usual}, resilience)


def crawling() -> ScriptedStreamer:
    return streams([*says("Begin. ", every_s=0.1), *says(*["word "] * 200, every_s=1.0), *ends()])


async def test_a_stream_that_crawls_is_handed_on_and_counts_against_its_model() -> None:
    resilience = new_state(failures=1)
    await a_known_pace(resilience)
    began = clock()

    got = await ask({A: crawling(), B: streams([*says("and b ends it."), *ends()])}, resilience)

    assert got.text == "Begin. " + "word " * 10 + "and b ends it."
    assert clock() - began == pytest.approx(10.1)
    assert [(model, name) for model, name, _, _ in got.trace] == [("a", "timed_out"), ("b", "answered")]
    assert isinstance(resilience.state("a"), Open)


@pytest.mark.parametrize("beside", [Extras(choice={"logprobs": {"content": []}}), Extras(message={"source": "here"})])
async def test_a_stream_that_crawls_is_handed_on_whatever_comes_with_each_of_its_pieces(beside: Extras) -> None:
    resilience = new_state()
    await a_known_pace(resilience)
    words = [beat for _ in range(200) for beat in (Beat(beside, 1.0), Beat("word "))]
    began = clock()

    model = streams([*says("Begin. ", every_s=0.1), *words, *ends()])
    got = await ask({A: model, B: streams([*says("and b ends it."), *ends()])}, resilience)

    assert got.text == "Begin. " + "word " * 10 + "and b ends it."
    assert clock() - began == pytest.approx(10.1)


async def test_a_stream_that_reasons_between_its_pieces_is_not_handed_on() -> None:
    resilience = new_state()
    await a_known_pace(resilience)
    thought = Beat(Extras(message={"reasoning_content": "Hm."}), 1.0)
    words = [beat for _ in range(20) for beat in (thought, thought, Beat("word ", 1.0))]

    model = streams([*says("Begin. ", every_s=0.1), *words, *ends()])
    got = await ask({A: model, B: streams([*says("never"), *ends()])}, resilience)

    assert got.text == "Begin. " + "word " * 20


async def test_a_stream_that_crawls_goes_on_where_nobody_could_carry_on() -> None:
    resilience = new_state()
    await a_known_pace(resilience)

    got = await ask({A: crawling()}, resilience)

    assert got.text == "Begin. " + "word " * 200


async def test_a_stream_that_crawls_is_handed_on_to_a_model_that_was_put_behind() -> None:
    resilience = new_state()
    await a_known_pace(resilience)
    behind = streams([Beat(Refused(PUT_BEHIND))], [*says("and b ends it."), *ends()])

    got = await ask({B: behind, A: crawling()}, resilience)

    assert got.text == "Begin. " + "word " * 10 + "and b ends it."


async def test_a_model_without_a_history_may_write_as_slowly_as_it_does() -> None:
    got = await ask({A: crawling(), B: streams([*says("never"), *ends()])}, new_state())

    assert got.text == "Begin. " + "word " * 200
