"""What comes beside an answer, in parts, is one whole in the end."""

from deployments.policy.extras import NO_EXTRAS, Extras, combine
from deployments.policy.outcome import Answered, Finished, stream_to_outcome


def test_texts_and_lists_that_come_in_parts_are_joined() -> None:
    parts = [
        Extras(message={"reasoning_content": "Let me "}, choice={"logprobs": {"content": [{"token": "a"}]}}),
        Extras(message={"reasoning_content": "see.", "annotations": []}),
        Extras(choice={"logprobs": {"content": [{"token": "b"}], "refusal": None}}),
    ]

    whole = combine(parts)

    assert whole.message == {"reasoning_content": "Let me see.", "annotations": []}
    assert whole.choice == {"logprobs": {"content": [{"token": "a"}, {"token": "b"}]}}


def test_fields_of_the_completion_and_token_counts_that_are_told_twice_stand_once() -> None:
    parts = [Extras(body={"system_fingerprint": "fp"}, usage={"prompt_tokens": 1})] * 2

    assert combine(parts) == parts[0]
    assert not combine([])
    assert combine([]) == NO_EXTRAS


def test_a_stream_read_as_a_whole_has_all_extras_of_its_parts_and_of_its_end() -> None:
    early, late = Extras(message={"reasoning": "Hm."}), Extras(body={"service_tier": "flex"})

    outcome = stream_to_outcome("Hi", Finished(extras=late), [early])

    assert isinstance(outcome, Answered)
    assert outcome.extras == Extras(message={"reasoning": "Hm."}, body={"service_tier": "flex"})
