"""Text completions: raw prompts, repeated where that is asked for, several of them at a time."""

from typing import Any

import pytest

from deployments.http.chunks import Chunks
from deployments.http.completions import COMPLETION, of_texts
from deployments.policy.extras import Extras
from deployments.policy.outcome import Usage
from tests.fakes import a_request
from tests.http.service import MESSAGE, ScriptedService, an_answer, last_resort
from tests.http.test_extras import chunks
from tests.http.wire import CHAT, send

PATH = "/v1/completions"
CHATS = "/v1/chat/completions"
TOLD = [
    {"token": "Hel", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "Hel", "logprob": -0.1}]},
    {"token": "lo", "logprob": -0.2, "bytes": None, "top_logprobs": []},
]
LOGPROBS = Extras(choice={"logprobs": {"content": TOLD, "refusal": None}})
OF_TEXTS = {
    "tokens": ["Hel", "lo"],
    "token_logprobs": [-0.1, -0.2],
    "top_logprobs": [{"Hel": -0.1}, {"lo": -0.2}],
    "text_offset": [0, 3],
}


async def streamed_choices(service: ScriptedService, **body: Any) -> list[Any]:
    return [chunk["choices"] for chunk in await chunks(service, {**body, "stream": True}, PATH)]


async def test_a_prompt_is_raw_text_or_token_ids() -> None:
    service = ScriptedService()

    await send(service, PATH, {"prompt": "Once"})
    await send(service, PATH, {"prompt": [1, 2]})
    await send(service, PATH, {"prompt": [[1], [2, 3]]})

    assert [(each.raw, each.text, each.prompt_tokens) for each in service.asked] == [
        (True, "Once", ()),
        (True, "", (1, 2)),
        (True, "", (1,)),
        (True, "", (2, 3)),
    ]


async def test_a_prompt_is_repeated_where_that_is_asked_for_but_not_before_the_last_resort() -> None:
    asked = {"prompt": ["Once", "Twice"], "echo": True}

    whole = (await send(ScriptedService(), PATH, asked)).json()
    streamed = await streamed_choices(ScriptedService(), prompt="Once", echo=True)
    nobody = (await send(ScriptedService(last_resort()), PATH, asked)).json()

    assert [choice["text"] for choice in whole["choices"]] == ["OnceHello", "TwiceHello"]
    assert "".join(choices[0]["text"] for choices in streamed) == "OnceHello"
    assert [choice["text"] for choice in nobody["choices"]] == [MESSAGE] * 2


async def test_in_a_chat_an_assistants_turn_at_the_end_is_repeated_as_vllm_does_it() -> None:
    begun = [*CHAT["messages"], {"role": "assistant", "content": "Well, "}]
    asked: dict[str, Any] = {"messages": begun, "echo": True, "n": 2}
    service = ScriptedService(an_answer(extras=Extras(others=({"index": 1, "message": {"content": "Hi"}},))))

    whole = (await send(service, CHATS, asked)).json()
    streamed = [each["choices"][0] for each in await chunks(service, asked | {"stream": True}, CHATS)]
    nobody = (await send(ScriptedService(last_resort()), CHATS, asked)).json()

    assert [choice["message"]["content"] for choice in whole["choices"]] == ["Well, Hello", "Well, Hi"]
    texts = ["".join(each["delta"].get("content") or "" for each in streamed if each["index"] == n) for n in (0, 1)]
    assert texts == ["Well, Hello", "Well, Hi"]
    assert nobody["choices"][0]["message"]["content"] == MESSAGE


@pytest.mark.parametrize("asked", [{"prompt": [1]}, {"prompt": "Once", "logprobs": 0}])
async def test_a_prompt_whose_tokens_are_to_be_told_is_repeated_by_the_model_itself(asked: dict[str, Any]) -> None:
    service = ScriptedService()

    whole = (await send(service, PATH, {**asked, "echo": True})).json()

    assert whole["choices"][0]["text"] == "Hello"
    assert service.asked[0].passthrough["echo"] is True
    assert "echo" in [feature.name for feature in service.asked[0].features]


async def test_several_prompts_are_streamed_together_with_one_count_of_tokens() -> None:
    service = ScriptedService(an_answer(usage=Usage(2, 3)))

    body = {"prompt": ["a", "b", "c"], "stream": True, "stream_options": {"include_usage": True}}
    *read, last = await chunks(service, body, PATH)

    texts = dict.fromkeys(range(3), "")
    for chunk in read:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == dict.fromkeys(range(3), "Hello")
    assert [chunk["choices"][0]["finish_reason"] for chunk in read].count("stop") == 3
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 15)
    assert [stream.closed for stream in service.streams] == [True] * 3


async def test_log_probabilities_come_in_the_form_of_text_completions() -> None:
    service = ScriptedService(an_answer(extras=LOGPROBS))

    whole = (await send(service, PATH, {"prompt": "a", "logprobs": 1})).json()
    streamed = await streamed_choices(service, prompt="a", logprobs=1)

    assert whole["choices"][0]["logprobs"] == OF_TEXTS
    assert [choices[0]["logprobs"] for choices in streamed if choices[0]["logprobs"]] == [OF_TEXTS]
    assert (service.asked[0].logprobs, service.asked[0].features[0].name) == (1, "logprobs")


async def test_log_probabilities_count_their_places_in_the_text_as_it_is_given() -> None:
    """Behind a prompt that is repeated, in further choices, and from one chunk of a stream to the next."""
    other = {"index": 1, "message": {"content": "Hello"}, **LOGPROBS.choice}
    both = Extras(choice=LOGPROBS.choice, others=(other,))
    asked = {"prompt": "Once", "echo": True, "n": 2}  # asked for, too, the model itself repeats the prompt

    whole = (await send(ScriptedService(an_answer(extras=both)), PATH, asked)).json()
    maker = Chunks(COMPLETION, [a_request(text="Once")], "r", with_usage=False, echo=True)
    parts = [chunk for _ in range(2) for chunk in maker.beside(LOGPROBS, "m")]
    (further,) = maker.beside(Extras(others=(other,)), "m")

    assert [choice["logprobs"]["text_offset"] for choice in whole["choices"]] == [[4, 7], [4, 7]]
    assert [part["choices"][0]["logprobs"]["text_offset"] for part in parts] == [[4, 7], [9, 12]]
    assert (further["choices"][0]["logprobs"]["text_offset"], further["choices"][0]["text"]) == ([4, 7], "OnceHello")


def test_of_tokens_that_read_alike_the_likelier_is_told_and_the_written_one_always() -> None:
    half = "\N{REPLACEMENT CHARACTER}"
    top = [{"token": half, "logprob": -1.0}, {"token": half, "logprob": -2.0}]
    told = of_texts({"content": [{"token": "x", "logprob": -9.0, "top_logprobs": top}]})

    assert told is not None
    assert told["top_logprobs"] == [{half: -1.0, "x": -9.0}]
