"""Fields that nobody has checked before they are written in the format of an upstream."""

from typing import Any

import pytest

from deployments.policy.breaker import Evidence, evidence
from deployments.policy.outcome import Refused, Rejected
from deployments.upstream.family import FormatOfRemotes
from deployments.upstream.formats import REMOTE_FORMATS
from tests.fakes import a_request
from tests.upstream.calling import call
from tests.upstream.faulty import FaultyUpstream
from tests.upstream.test_messages_request import SPEC, a_chat

SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("api", "fields", "named"),
    [
        ("messages", {"reasoning_effort": ["low"]}, "reasoning_effort is a list; accepted: a text"),
        ("messages", {"output_config": "x", "response_format": SCHEMA}, "output_config is a text; accepted: an object"),
        ("messages", {"thinking": 5}, "thinking is a number; accepted: an object"),
        ("responses", {"reasoning": "low", "reasoning_effort": "low"}, "reasoning is a text; accepted: an object"),
        ("responses", {"text": ["x"], "verbosity": "low"}, "text is a list; accepted: an object"),
        ("responses", {"include": [{}]}, "include is a list; accepted: a list of texts"),
    ],
)
async def test_a_field_that_fits_no_format_is_its_callers_to_mend_and_no_evidence_about_the_model(
    faulty: FaultyUpstream, api: str, fields: dict[str, Any], named: str
) -> None:
    outcome = await call(faulty, "healthy", a_chat(**fields), api=api)

    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason == named
    assert outcome.field in fields
    assert outcome.elsewhere, "another model may take it"
    assert not faulty.requests


def test_a_bug_in_the_writing_of_a_request_is_no_evidence_about_the_model() -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("text")

    outcome = FormatOfRemotes((), broken, REMOTE_FORMATS["chat"].adapts).written(a_request(), SPEC)

    assert isinstance(outcome, Refused), outcome
    assert evidence(outcome) is Evidence.NEUTRAL
