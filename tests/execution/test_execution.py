"""What a request imposes on the models that answer it."""

import pytest

from deployments.execution.execution import terms_of
from deployments.policy.token_estimate import BYTES_PER_TOKEN
from deployments.request import InferenceRequest

TURNS = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"})


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (InferenceRequest({}, "twelve chars", (), "m", 10.0), 12),
        (InferenceRequest({}, "", TURNS, "m", 10.0), 13),
        (InferenceRequest({}, "", TURNS, "m", 10.0, prefix="Because"), 20),
        (InferenceRequest({}, "", (), "m", 10.0, raw=True, prompt_tokens=(1, 2, 3)), 3 * BYTES_PER_TOKEN),
    ],
    ids=["a text", "a conversation", "one that is continued", "tokens"],
)
def test_the_length_of_what_is_to_be_read_is_a_term_of_the_request(request_: InferenceRequest, size: int) -> None:
    assert terms_of(request_).prompt_size == size
