"""What a language model is asked to write, and how its choices are told."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import orjson
import pytest

from deployments.formats.huggingface import HuggingFaceModel
from deployments.generation import Generation, Prompt, Sampling, TokenLogprob, UnsupportedSamplingError
from deployments.policy.deadline import writing_s
from deployments.policy.outcome import Answered, Finished, Rejected, Usage
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.openai import chat_request, completion_request
from deployments.settings import GenerationDefaults
from tests.fakes import read_stream, read_whole
from tests.formats.test_huggingface import ScriptedGenerator, a_request
from tests.request.test_native import LIMITS

HELLO = [{"role": "user", "content": "Hi"}]
TOLD = (TokenLogprob("It", -0.5, (("It", -0.5), ("So", -1.5))), TokenLogprob(" rains", float("-inf")))


class Numbered(ScriptedGenerator):
    """Writes its own number among the generations, and what is told beside it."""

    cut, told, stopped_at = 0, TOLD, ""
    fails_at = 99

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        self.asked.append((prompt, sampling))
        number = len(self.asked)
        if number == self.fails_at:
            raise MemoryError("no room")
        odds = self.told if sampling.logprobs is not None else ()
        return Generation(f" {number}.", 3, 2, "stop" if number == 1 else "deadline", self.cut, odds, self.stopped_at)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        generation = await self.generate(prompt, sampling)
        yield generation.text
        yield generation


def served(generator: ScriptedGenerator, recommended: dict[str, Any] | None = None, **spec: Any) -> HuggingFaceModel:
    return HuggingFaceModel(generator, GenerationDefaults(**spec), {"name": "m"}, None, recommended or {})


def chat(*, stream: bool = False, **body: Any) -> InferenceRequest:
    data = {"messages": HELLO, "stream": stream, **body}
    return chat_request(orjson.dumps(data), LIMITS, headers={}).requests[0]


async def asked_with(model_recommends: dict[str, Any], spec: dict[str, Any], **body: Any) -> Sampling:
    generator = ScriptedGenerator("x")
    await read_whole(served(generator, model_recommends, **spec), chat(**body), 10.0)
    return generator.asked[0][1]


@pytest.mark.parametrize("stream", [False, True])
async def test_several_choices_draw_by_seeds_of_their_own_and_are_counted_together(*, stream: bool) -> None:
    generator = Numbered()
    request = chat(n=3, seed=7, stream=stream)

    others = tuple(
        {"index": place, "message": {"role": "assistant", "content": f"{place + 1}.", "refusal": None},
         "finish_reason": "length"}
        for place in (1, 2)
    )  # fmt: skip
    if stream:
        *texts, end = await read_stream(served(generator), request)
        assert "".join(texts) == "1."  # type: ignore[arg-type]  # texts before the end
        assert isinstance(end, Finished)
    else:
        answered = await read_whole(served(generator), request)
        assert isinstance(answered, Answered)
        assert answered.result == "1."
        end = Finished(answered.finish_reason, answered.usage, extras=answered.extras)
    assert (end.finish_reason, end.usage, end.extras.others) == ("stop", Usage(3, 6), others)
    assert [sampling.seed for _, sampling in generator.asked] == [7, 8, 9]


async def test_more_choices_than_a_batch_can_spare_are_rejected_and_another_model_may_give_them() -> None:
    generator = Numbered()

    outcome = await read_whole(served(generator), chat(n=17))

    assert outcome == Rejected("it writes at most 16 choices", "n", "unsupported_parameter", elsewhere=True)
    assert generator.asked == []


async def test_where_the_first_choice_fails_none_is_written() -> None:
    generator = Numbered()
    generator.fails_at = 1

    with pytest.raises(MemoryError):
        await served(generator).start(chat(n=3), 10.0)

    assert len(generator.asked) == 1


async def test_log_probabilities_are_told_in_openais_form() -> None:
    answered = await read_whole(served(Numbered()), chat(logprobs=True, top_logprobs=2))

    assert isinstance(answered, Answered)
    first, second = answered.extras.choice["logprobs"]["content"]
    assert first == {
        "token": "It", "logprob": -0.5, "bytes": [73, 116],
        "top_logprobs": [
            {"token": "It", "logprob": -0.5, "bytes": [73, 116]},
            {"token": "So", "logprob": -1.5, "bytes": [83, 111]},
        ],
    }  # fmt: skip
    assert second["logprob"] == -9999.0, "JSON has no infinity"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_was_cut_says_how_many_tokens_are_missing(*, stream: bool) -> None:
    generator = Numbered()
    generator.cut = 808

    if stream:
        end: Any = (await read_stream(served(generator), chat(stream=True)))[-1]
    else:
        end = await read_whole(served(generator), chat())

    assert end.dropped == ("prompt_tokens:808",)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_stop_text_that_ended_a_choice_is_told_as_vllm_tells_it(*, stream: bool) -> None:
    generator = Numbered()
    generator.stopped_at = "###"

    told = await read_whole(served(generator), chat(stream=stream, n=2, stop=["###"]), 10.0)

    assert isinstance(told, Answered)
    assert told.extras.choice["stop_reason"] == told.extras.others[0]["stop_reason"] == "###"


async def test_a_text_completion_keeps_the_space_that_it_begins_with() -> None:
    request = completion_request(orjson.dumps({"prompt": "It"}), LIMITS, headers={}).requests[0]
    generator = ScriptedGenerator(" rains ")

    assert (await read_whole(served(generator), request)).result == " rains "  # type: ignore[union-attr]  # answered
    assert generator.asked[0][0] == Prompt("It", raw=True)


async def test_bytes_of_a_token_that_is_half_a_character_are_not_made_up() -> None:
    generator = Numbered()
    generator.told = (TokenLogprob("\N{REPLACEMENT CHARACTER}", -0.5), TokenLogprob("x", -1.0))

    answered = await read_whole(served(generator), chat(logprobs=True))

    assert answered.extras.choice["logprobs"]["content"][0]["bytes"] is None  # type: ignore[union-attr]  # answered


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        (lambda: chat(logprobs=True, top_logprobs=2), "top_logprobs"),
        (lambda: completion_request(b'{"prompt": "It", "logprobs": 2}', LIMITS, headers={}).requests[0], "logprobs"),
    ],
)
async def test_log_probabilities_that_an_engine_does_not_tell_are_rejected_by_the_field_that_asked_for_them(
    request_of: Callable[[], InferenceRequest], field: str
) -> None:
    outcome = await read_whole(
        served(ScriptedGenerator(error=UnsupportedSamplingError("top_logprobs"))), request_of(), 10.0
    )

    assert isinstance(outcome, Rejected)
    assert (outcome.field, outcome.code) == (field, "unsupported_parameter")
    assert f" {field}" in outcome.reason


async def test_a_shortest_answer_above_what_the_spec_allows_is_rejected_by_name() -> None:
    generator = ScriptedGenerator("x")

    outcome = await read_whole(served(generator, max_tokens_limit=50), a_request(min_tokens=51))

    assert isinstance(outcome, Rejected)
    assert (outcome.field, outcome.code, outcome.elsewhere) == ("min_tokens", "unsupported_parameter", True)
    assert "at most 50" in outcome.reason
    assert generator.asked == []


@pytest.mark.parametrize(
    ("reason", "wanted", "dropped"),
    [("length", 9, ("max_tokens:1",)), ("length", 1, ()), ("length", None, ()), ("stop", 9, ())],
)
async def test_an_answer_that_is_shorter_than_the_caller_allows_says_how_long_it_may_be(
    reason: str, wanted: int | None, dropped: tuple[str, ...]
) -> None:
    generator = ScriptedGenerator("x", finish_reason=reason)

    answered = await read_whole(served(generator, max_tokens_limit=1), a_request(max_tokens=wanted))

    assert answered.dropped == dropped  # type: ignore[union-attr]  # answered
    assert generator.asked[0][1].max_tokens == 1


async def test_the_caller_goes_before_the_spec_before_the_model_before_openais_defaults() -> None:
    recommended = {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1, "do_sample": False}

    nothing = await asked_with({}, {})
    model = await asked_with(recommended, {})
    spec = await asked_with(recommended, {"temperature": 0.2})
    caller = await asked_with(recommended, {"temperature": 0.2}, temperature=0, top_k=-1, min_p=0.1)

    assert (nothing.temperature, nothing.top_k, nothing.top_p, nothing.repetition_penalty) == (1.0, 0, 1.0, 1.0)
    assert (model.temperature, model.top_k, model.top_p, model.repetition_penalty) == (0.7, 20, 0.8, 1.1)
    assert (spec.temperature, spec.top_k) == (0.2, 20)
    assert (caller.temperature, caller.top_k, caller.min_p, caller.top_p) == (0.0, 0, 0.1, 0.8)


async def test_a_recommendation_that_no_request_may_have_is_left_out() -> None:
    assert (await asked_with({"temperature": 9.0, "top_p": "high", "top_k": 3}, {})).temperature == 1.0


async def test_an_answer_without_a_length_has_that_of_the_policy_unless_the_spec_sets_one() -> None:
    generator = ScriptedGenerator("x")
    limits = Limits(1 << 20, 30.0, 300.0, max_tokens=77)
    (request,) = chat_request(orjson.dumps({"messages": HELLO}), limits, headers={}).requests

    specs: list[dict[str, Any]] = [{}, {"max_tokens": 5}]
    for spec in specs:
        await read_whole(served(generator, **spec), request)
    await read_whole(served(generator), a_request())
    await read_whole(served(generator), a_request(min_tokens=1500))

    lengths = [sampling.max_tokens for _, sampling in generator.asked]
    assert lengths == [77, 5, 1024, 1500]


@pytest.mark.parametrize(("budget_s", "writing"), [(30.0, 29.75), (1.0, 0.9), (0.01, 0.009)])
async def test_writing_ends_early_enough_for_the_way_back(budget_s: float, writing: float) -> None:
    generator = ScriptedGenerator("x")

    await read_whole(served(generator), a_request(), budget_s)

    assert generator.asked[0][1].budget_s == pytest.approx(writing) == pytest.approx(writing_s(budget_s))
