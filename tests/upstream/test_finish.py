"""What a finish reason means that is not written as the table has it."""

import pytest

from deployments.upstream.finish import ENDINGS, Ending, read_ending


def in_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


@pytest.mark.parametrize("name", sorted(filter(None, ENDINGS)))
def test_a_reason_in_camel_case_or_capitals_means_the_same(name: str) -> None:
    spellings = {in_camel_case(name), name.upper(), name.replace("_", "-"), f"FINISH_REASON_{name.upper()}"}

    assert {read_ending(spelling) for spelling in spellings} == {ENDINGS[name]}


FAILED = (
    *("upstream_error", "unknown_error", "unknownError", "exception", "gateway_timeout", "gateway_time_out", "evicted"),
    *("interrupted", "crashed", "preempted", "tool_use_failed", "client_disconnect", "connection_closed"),
)
WITHHELD = (
    *("blocked", "prompt_blocked", "contentBlock", "filtered", "flagged_by_user", "policy_violation", "safety_filter"),
    *("content_policy_error", "aborted_by_safety_filter", "hate", "self_harm", "promptInjectionBlocked", "unsafe"),
)
UNKNOWN = (
    *("brand_new", "unknown", "content_block_stop", "end_of_code_block", "harmony_end", "no_error", "none_blocked"),
    *("not_interrupted", "context_overflow", "stop_policy", "terror_profile", "lossless", "stop_token_id"),
)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        *((name, Ending.FAILED) for name in FAILED),
        *((name, Ending.WITHHELD) for name in WITHHELD),
        *((name, Ending.CUT) for name in UNKNOWN),
    ],
)
def test_a_reason_that_nobody_knows_is_read_by_its_words(name: str, ending: Ending) -> None:
    assert read_ending(name) is ending
