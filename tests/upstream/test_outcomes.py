"""Everything an upstream can do is an outcome: of a call, and as the end of a stream."""

from collections.abc import Iterable
from typing import Any

import pytest

from deployments.policy.extras import Extras
from deployments.policy.outcome import WITHHELD, Answered, Blank, Failed, Finished, Outcome, Refused, Rejected, Usage
from tests.upstream.calling import call, stream
from tests.upstream.dialects import DIALECTS
from tests.upstream.dialects_of_messages import MESSAGE_DIALECTS
from tests.upstream.dialects_of_responses import OF_RESPONSES, RESPONSE_DIALECTS
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import SCENARIOS, SPOKEN, FaultyUpstream
from tests.upstream.particular_messages import OF_MESSAGES
from tests.upstream.scenarios import CALL
from tests.upstream.voices import USAGE

COUNTED = Usage(USAGE["prompt_tokens"], USAGE["completion_tokens"])
COUNTS = Extras(usage=USAGE)
BEGUN = "The quick brown"
APIS = ("chat", "responses", "messages")
OF_BYTES = {"garbage-for-ever", "huge", "huge-event-after-3"}
OF_CHATS = {"tells-the-request", *(name for name in SCENARIOS if name.startswith(("no-max", "no-prefill", "no-reas")))}
WAITS_FOR_THE_DRIVER = {"silent", "head-then-silence", "trickle", "stall-after-3", "trickle-after-3"}

# Of each fault: the outcome's kind, whether a repetition may help, and a part of the reason.
FAULTS: dict[str, tuple[type[Outcome], bool, str]] = {
    "status-401": (Failed, False, "401"),
    "status-403": (Failed, False, "403"),
    "status-404": (Failed, False, "404"),
    "status-408": (Failed, True, "408"),
    "status-409": (Refused, True, "409"),
    "status-425": (Failed, True, "425"),
    "status-418": (Failed, False, "418"),
    "status-429": (Refused, True, "rate limit"),
    "status-429-soon": (Refused, True, "429"),
    "status-429-later": (Refused, True, "429"),
    "status-429-quota": (Failed, False, "operator"),
    "status-500": (Failed, True, "500"),
    "status-502": (Failed, True, "502"),
    "status-503": (Failed, True, "503"),
    "status-503-soon": (Refused, True, "503"),
    "status-504": (Failed, True, "504"),
    "status-529": (Failed, True, "529"),
    "wait-20-s": (Refused, True, "429"),
    "wait-in-words": (Refused, True, "429"),
    "wait-until-reset": (Refused, True, "429"),
    "busy-20-s": (Refused, True, "503"),
    "limited-in-200-for-20-s": (Refused, True, "rate limit"),
    "last-resort-of-ours": (Refused, False, "none of its models"),
    "redirect": (Failed, False, "307"),
    "closes": (Failed, True, "without a response"),
    "resets": (Failed, True, ""),
    "no-http": (Failed, False, "not valid HTTP"),
    "endless-headers": (Failed, False, "not valid HTTP"),
    "null-content": (Blank, False, "no visible content"),
    "white-space": (Blank, False, "no visible content"),
    "reasoning-only": (Blank, False, "reasoned"),
    "thinks-aloud": (Blank, False, "reasoned"),
    "calls-nothing": (Failed, False, "malformed"),
    "length-before-content": (Blank, False, "before any visible content"),
    "length-in-a-call": (Failed, False, "malformed"),
    "empty-body": (Blank, False, "empty"),
    "blank-body": (Blank, False, "empty"),
    "not-json": (Failed, False, "not a JSON object"),
    "html": (Failed, False, "text/html"),
    "plain-text": (Failed, False, "text/plain"),
    "no-choices": (Failed, False, "no choices"),
    "a-list": (Failed, False, "not a JSON object"),
    "error-in-200": (Failed, True, "Overloaded."),
    "cut-body": (Failed, True, "cut"),
    "huge": (Failed, False, "too large"),
}
_PROPER = ("dies-", "cut-head-", "reasons-")
ANSWERED_WHEN_WHOLE = {
    name: Answered(TEXT, COUNTED, extras=COUNTS)
    for name in SCENARIOS.keys() - SPOKEN.keys()
    if (name.endswith(("-after-3", "-for-ever")) and name != "withheld-after-3")
    or name in {"no-deltas", "no-done", "hangs-when-done"}
}
ANSWERS: dict[str, Answered] = (
    ANSWERED_WHEN_WHOLE
    | {
        "healthy": Answered(TEXT, COUNTED, extras=COUNTS),
        "tells-the-request": Answered(
            '{"model": "tells-the-request", "messages": [{"role": "user", "content": "hello"}]}',
            COUNTED,
            extras=COUNTS,
        ),
        "keep-alive-comments": Answered(TEXT, COUNTED, extras=COUNTS),
        "no-echo": Answered(TEXT, COUNTED, extras=COUNTS),
        "whole-to-a-stream": Answered(TEXT, COUNTED, extras=COUNTS),
        "resumes": Answered(TEXT, COUNTED, extras=COUNTS),
        "starts-over": Answered(TEXT, COUNTED, extras=COUNTS),
        "overlaps": Answered(TEXT, COUNTED, extras=COUNTS),
        "refuses-prefixes": Answered(TEXT, COUNTED, extras=COUNTS),
        "cut-short": Answered(BEGUN, COUNTED, "length", extras=COUNTS),
        "filtered": Answered(WITHHELD, COUNTED, "content_filter", extras=COUNTS),
        "refuses": Answered("I cannot help with that.", COUNTED, "content_filter", extras=COUNTS),
        "calls-a-tool": Answered({"tool_calls": [CALL]}, COUNTED, "tool_calls", (CALL,), COUNTS),
        "withheld-after-3": Answered(WITHHELD, None, "content_filter"),
    }
    | {
        name: Answered(TEXT, COUNTED, extras=COUNTS)
        for name in SCENARIOS.keys() - SPOKEN.keys()
        if name.startswith(
            ("no-stream", "no-max", "no-continue", "no-prefill", "no-reasoning", "repeats-", "closes-", *_PROPER)
        )
    }
)
INVALID = {
    "status-400": Rejected("temperature has to be 1 with this model.", "temperature", "unsupported_value"),
    "status-422": Rejected("Field required.", "text"),
    "too-long": Rejected(
        "the request is too long for it: This model's maximum context length is 4096 tokens.",
        "text",
        "context_length_exceeded",
        elsewhere=True,
    ),
    "against-policy": Rejected(
        "Your request was rejected by our safety system.", "text", "content_policy_violation", content=True
    ),
}

# What is different of a stream: what it has said before it ends, and its end.
STREAMED_FAULTS: dict[str, tuple[str, type[Any], bool, str]] = {
    "cut-after-3": (BEGUN, Failed, True, "cut"),
    "cut-body": (BEGUN, Failed, True, "cut"),
    "reset-after-3": (BEGUN, Failed, True, ""),
    "resumes": (BEGUN, Failed, True, "cut"),
    "starts-over": (" ".join(TEXT.split()[:12]), Failed, True, "cut"),
    "error-after-3": (BEGUN, Failed, True, "engine died"),
    "no-finish-after-3": (BEGUN, Failed, True, "without a finish reason"),
    "garbage-for-ever": (BEGUN, Failed, False, "cannot be read"),
    "huge-event-after-3": (BEGUN, Failed, False, "an event of more than"),
    "huge": (BEGUN, Failed, False, "too large"),
    "no-deltas": ("", Blank, False, "no visible content"),
}
STREAMED_ANSWERS: dict[str, tuple[str, Finished]] = {
    "healthy": (TEXT, Finished("stop", COUNTED, extras=COUNTS)),
    "keep-alive-comments": (TEXT, Finished("stop", COUNTED, extras=COUNTS)),
    "reasons-first": (TEXT, Finished("stop", COUNTED, extras=COUNTS)),
    "whole-to-a-stream": (TEXT, Finished("stop", COUNTED, extras=COUNTS)),
    "no-done": (TEXT, Finished("stop", COUNTED, extras=COUNTS)),
    "hangs-when-done": (TEXT, Finished("stop")),
    "garbage-after-3": (TEXT, Finished("stop", COUNTED, extras=COUNTS, skipped=1)),
    "filtered-after-3": (BEGUN, Finished("content_filter", COUNTED, extras=COUNTS)),
    "withheld-after-3": (BEGUN, Finished("content_filter")),
    "cut-short": (BEGUN, Finished("length", COUNTED, extras=COUNTS)),
    "filtered": (ANSWERS["filtered"].result, Finished("content_filter", COUNTED, extras=COUNTS)),
    "no-stream-options": (TEXT, Finished("stop", COUNTED, extras=COUNTS)),
    "refuses": (ANSWERS["refuses"].result, Finished("content_filter", COUNTED, extras=COUNTS)),
    "calls-a-tool": ("", Finished("tool_calls", COUNTED, (CALL,), COUNTS)),
}


def in_each_format(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each scenario in each format; those about chats or about bytes in that of chats alone."""
    return [(name, api) for name in names for api in APIS if api == "chat" or name not in OF_BYTES | OF_CHATS]


def test_every_scenario_is_among_the_tests() -> None:
    tested = FAULTS.keys() | ANSWERS.keys() | INVALID.keys() | WAITS_FOR_THE_DRIVER | DIALECTS.keys() | SPOKEN.keys()
    tested |= MESSAGE_DIALECTS.keys() | RESPONSE_DIALECTS.keys()
    tested |= OF_MESSAGES.keys() | OF_RESPONSES.keys() | {"messages-limited", "able"}
    assert tested == SCENARIOS.keys()


@pytest.mark.parametrize(("scenario", "api"), in_each_format(FAULTS))
async def test_a_fault_is_the_outcome_of_its_call(faulty: FaultyUpstream, scenario: str, api: str) -> None:
    kind, transient, reason = FAULTS[scenario]

    outcome = await call(faulty, scenario, max_answer_bytes=1 << 20, api=api)

    assert isinstance(outcome, kind)
    assert reason in outcome.reason
    assert getattr(outcome, "transient", False) is transient


@pytest.mark.parametrize(("scenario", "api"), in_each_format(sorted(ANSWERS)))
async def test_an_answer_is_what_the_upstream_said(faulty: FaultyUpstream, scenario: str, api: str) -> None:
    assert await call(faulty, scenario, api=api) == ANSWERS[scenario]


@pytest.mark.parametrize("scenario", sorted(INVALID))
async def test_a_request_the_upstream_calls_invalid_is_the_callers(faulty: FaultyUpstream, scenario: str) -> None:
    assert await call(faulty, scenario) == INVALID[scenario]
    assert await stream(faulty, scenario) == ("", INVALID[scenario])


@pytest.mark.parametrize(("scenario", "api"), in_each_format([name for name in FAULTS if name not in STREAMED_FAULTS]))
async def test_a_fault_before_the_first_content_ends_the_stream_as_it_ends_a_call(
    faulty: FaultyUpstream, scenario: str, api: str
) -> None:
    kind, transient, _ = FAULTS[scenario]

    text, end = await stream(faulty, scenario, max_answer_bytes=1 << 20, api=api)

    assert text == ""
    assert isinstance(end, kind)
    assert getattr(end, "transient", False) is transient


@pytest.mark.parametrize("scenario", [name for name, (kind, *_) in FAULTS.items() if kind in {Blank, Failed}])
async def test_only_an_answer_that_the_callers_max_tokens_ended_is_cut(faulty: FaultyUpstream, scenario: str) -> None:
    outcome = await call(faulty, scenario, max_answer_bytes=1 << 20)
    _, end = await stream(faulty, scenario, max_answer_bytes=1 << 20)

    assert isinstance(outcome, (Blank, Failed))
    assert outcome.cut is scenario.startswith("length-")
    assert getattr(end, "cut", False) is scenario.startswith("length-")


@pytest.mark.parametrize(("scenario", "api"), in_each_format(STREAMED_FAULTS))
async def test_a_fault_in_a_stream_is_its_end_and_loses_nothing_before_it(
    faulty: FaultyUpstream, scenario: str, api: str
) -> None:
    said, kind, transient, reason = STREAMED_FAULTS[scenario]

    text, end = await stream(faulty, scenario, api=api)

    assert text == said
    assert isinstance(end, kind)
    assert reason in str(end)
    assert getattr(end, "transient", False) is transient


@pytest.mark.parametrize(("scenario", "api"), in_each_format(STREAMED_ANSWERS))
async def test_a_stream_that_ends_properly_is_finished(faulty: FaultyUpstream, scenario: str, api: str) -> None:
    assert await stream(faulty, scenario, api=api) == STREAMED_ANSWERS[scenario]


@pytest.mark.parametrize(
    ("scenario", "seconds"),
    [
        ("status-429-soon", 0.2),
        ("status-503-soon", 0.2),
        ("status-409", 0.2),
        ("status-429-later", 86400.0),
        ("wait-in-words", 20.0),
        ("wait-until-reset", 20.0),
        ("busy-20-s", 20.0),
        ("limited-in-200-for-20-s", 20.0),
    ],
)
async def test_a_wait_the_upstream_asks_for_is_told(faulty: FaultyUpstream, scenario: str, seconds: float) -> None:
    _, end = await stream(faulty, scenario)

    for outcome in (await call(faulty, scenario), end):
        assert isinstance(outcome, (Failed, Refused))
        assert outcome.retry_after_s == pytest.approx(seconds)


async def test_an_event_that_is_skipped_is_told_with_the_reason(
    faulty: FaultyUpstream, events: list[dict[str, Any]]
) -> None:
    await stream(faulty, "garbage-after-3")

    told = [(line["model"], line["reason"]) for line in events if line["event"] == "upstream_event_skipped"]
    assert told == [("remote", "it is not JSON")]
