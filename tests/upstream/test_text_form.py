"""A text completion reaches an upstream that takes those as it was sent, and its answer is read from that format."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from deployments.policy.outcome import Answered, Finished, Refused
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.openai import completion_request
from deployments.router.router import Router
from deployments.upstream.text_form import EchoReader, chat_logprobs
from tests.http.wire import events, send
from tests.router.test_take_over import a_router
from tests.upstream.calling import call, stream
from tests.upstream.exchange import TEXT
from tests.upstream.faulty import FaultyUpstream

LIMITS = Limits(max_bytes=1 << 20, timeout_s=20.0, max_timeout_s=20.0)
PATH = "/v1/completions"
ALL = {
    "suffix": ".", "best_of": 2, "n": 2, "echo": True, "logprobs": 3, "top_k": 5, "max_tokens": 9, "stop": ["x"],
    "user": "u", "seed": 7, "mood": "good",
}  # fmt: skip


def asked(prompt: Any = "The quick", **more: Any) -> InferenceRequest:
    return completion_request(json.dumps({"prompt": prompt, **more}).encode(), LIMITS).requests[0]


@pytest.fixture
async def router(faulty: FaultyUpstream) -> AsyncIterator[Router]:
    """A router with a remote model that takes text completions, and one that does not."""
    base = {"base_url": f"http://127.0.0.1:{faulty.port}/v1", "model": "healthy"}
    router = a_router({"remotes": {"text": {**base, "completions": True}, "chat": base}})
    await router._registry.refresh()
    yield router
    await router._upstreams.aclose()


@pytest.mark.parametrize("prompt", ["The quick", [5, 6]])
async def test_it_is_sent_to_completions_with_all_its_fields(faulty: FaultyUpstream, prompt: Any) -> None:
    answered = await call(faulty, "healthy", asked(prompt, **ALL), completions=True)

    assert isinstance(answered, Answered)
    sent = faulty.requests[-1]
    assert (sent.target, dict(sent.body)) == (PATH, {"model": "healthy", "prompt": prompt, **ALL})


async def test_it_is_a_chat_where_the_upstream_has_no_completions(faulty: FaultyUpstream) -> None:
    await call(faulty, "healthy", asked(suffix=".", echo=True, logprobs=2))

    sent = faulty.requests[-1]
    assert sent.target == "/v1/chat/completions"
    assert sent.body["messages"] == [{"role": "user", "content": "The quick"}]
    assert (sent.body["logprobs"], sent.body["top_logprobs"]) == (True, 2)
    assert not {"suffix", "echo", "prompt"} & sent.body.keys()


@pytest.mark.parametrize("streams", [False, True])
async def test_a_text_is_gone_on_with_behind_the_prompt_and_nothing_is_taken_out(
    faulty: FaultyUpstream, *, streams: bool
) -> None:
    begun = replace(asked("The "), prefix="quick")

    if streams:
        text, end = await stream(faulty, "healthy", begun, completions=True)
        assert isinstance(end, Finished)
    else:
        answered = await call(faulty, "healthy", begun, completions=True)
        assert isinstance(answered, Answered)
        text = answered.result

    assert faulty.requests[-1].body["prompt"] == "The quick"
    assert text == TEXT.removeprefix("The quick")


async def test_an_echo_is_gone_on_with_as_it_stands(faulty: FaultyUpstream) -> None:
    begun = replace(asked("The ", echo=True, logprobs=0), prefix="The quick")

    text, _ = await stream(faulty, "healthy", begun, completions=True)

    assert (faulty.requests[-1].body["prompt"], text) == ("The quick", TEXT.removeprefix("The quick"))
    assert "echo" not in faulty.requests[-1].body


async def test_a_text_cannot_stand_behind_token_ids(faulty: FaultyUpstream) -> None:
    outcome = await call(faulty, "healthy", replace(asked([1, 2]), prefix="Once"), completions=True)

    assert isinstance(outcome, Refused)
    assert faulty.requests == []


async def test_a_raw_text_keeps_what_looks_like_thoughts(faulty: FaultyUpstream) -> None:
    answered = await call(faulty, "thinks-aloud", asked(), completions=True)

    assert isinstance(answered, Answered)
    assert answered.result == "<think>aloud</think>"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("prompt", ["The quick", [5, 6]])
async def test_log_probabilities_come_back_in_the_form_of_text_completions_with_those_of_the_prompt(
    router: Router, prompt: Any, *, streams: bool
) -> None:
    body = {"model": "text", "prompt": prompt, "echo": True, "logprobs": 2, "stream": streams}

    response = await send(router, PATH, body)

    read = [data for _, data in events(response) if isinstance(data, dict)] if streams else [response.json()]
    choices = [choice for each in read for choice in each["choices"]]
    told = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    tokens = [token for each in told for token in each["tokens"]]
    values = [value for each in told for value in each["token_logprobs"]]
    text = TEXT if prompt == "The quick" else f"<5><6>{TEXT}"
    assert "".join(choice["text"] for choice in choices) == "".join(tokens) == text
    assert values == [-float(len(token)) for token in tokens]
    assert told[0]["top_logprobs"][0] == {tokens[0]: values[0], "other": -99.0}


async def test_a_prompt_that_a_server_does_not_repeat_is_put_before_its_text(faulty: FaultyUpstream) -> None:
    answered = await call(faulty, "no-echo", asked("The quick", echo=True, logprobs=0), completions=True)

    assert isinstance(answered, Answered)
    assert answered.result == TEXT


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["On", "ce", " upon"], "Once upon"),
        (["Once upon"], "Once upon"),
        (["Only", " one"], "OnceOnly one"),
        (["On"], "OnceOn"),
        ([], ""),
    ],
)
def test_an_echo_is_told_from_a_text_that_begins_like_it(pieces: list[str], text: str) -> None:
    reader = EchoReader("Once")

    assert "".join([*map(reader.feed, pieces), reader.finish()]) == text


def test_log_probabilities_that_are_incomplete_are_read_as_far_as_they_go() -> None:
    told = chat_logprobs({"tokens": ["a", "b"], "token_logprobs": [None], "top_logprobs": None})

    assert [(each["token"], each["logprob"], each["top_logprobs"]) for each in told["content"]] == [
        ("a", None, []),
        ("b", None, []),
    ]


@pytest.mark.parametrize(
    ("more", "param"),
    [({"suffix": "."}, "suffix"), ({"best_of": 2}, "best_of"), ({"echo": True, "logprobs": 1}, "echo")],
)
async def test_what_only_text_completions_have_is_refused_by_name_where_no_candidate_takes_those(
    router: Router, more: dict[str, Any], param: str
) -> None:
    refused = await send(router, PATH, {"model": "chat", "prompt": "Once", **more})
    taken = await send(router, PATH, {"model": "text", "prompt": "Once", **more})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert refused.json()["error"]["code"] == "unsupported_parameter"
    assert (taken.status_code, taken.json()["neverblank"]["served_by"]) == (200, "primary")


async def test_token_ids_reach_an_upstream_that_takes_text_completions_and_no_chat(router: Router) -> None:
    taken = (await send(router, PATH, {"model": "text", "prompt": [5, 6]})).json()
    refused = await send(router, PATH, {"model": "chat", "prompt": [5, 6], "fallback": False})

    assert taken["neverblank"]["served_by"] == "primary"
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")
