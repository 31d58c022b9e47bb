"""What a model thinks is taken out of its text, unless the request has asked for it there."""

import pytest
from msgspec.structs import replace

from deployments.policy.outcome import Answered
from deployments.request import InferenceRequest
from tests.fakes import a_request
from tests.upstream.calling import call, stream
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

REKA = "thinking-in-the-text-of-reka"
WRITTEN = f"<reasoning>Hm.</reasoning>\n\n{TEXT}"
ASKS = "Think within <reasoning> tags, then answer."


@pytest.mark.parametrize(
    "request_of_it",
    [
        replace(a_request(), text=ASKS),
        replace(a_request(), messages=({"role": "system", "content": ASKS}, {"role": "user", "content": "Hi"})),
    ],
)
async def test_a_tag_that_the_request_speaks_of_is_a_part_of_the_text(
    faulty: FaultyUpstream, request_of_it: InferenceRequest
) -> None:
    outcome = await call(faulty, REKA, request_of_it)
    text, _ = await stream(faulty, REKA, request_of_it)

    assert isinstance(outcome, Answered)
    assert outcome.result == text == WRITTEN
    assert not outcome.extras.message


async def test_a_tag_of_templates_alone_is_taken_out_though_the_request_speaks_of_another(
    faulty: FaultyUpstream,
) -> None:
    outcome = await call(faulty, "thinking-in-the-text-of-seed", replace(a_request(), text=ASKS))

    assert isinstance(outcome, Answered)
    assert outcome.result == TEXT
