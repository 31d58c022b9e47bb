"""OpenAI's API as its own client and LangChain's see it, on the real service with real models behind it."""

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from openai import OpenAI

from tests.service.models import WORDS
from tests.service.service import Service
from tests.upstream.exchange import TEXT

NARRATED = "".join(WORDS)
HELLO: Any = [{"role": "user", "content": "Say hello."}]
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
PERSON: Any = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def client(service: Service) -> OpenAI:
    """The official client; it raises for a response that is not as its types say, and tries nothing twice."""
    return OpenAI(
        base_url=f"http://127.0.0.1:{service.port}/v1",
        api_key="none",
        max_retries=0,
        timeout=60,
        _strict_response_validation=True,
    )


# --- chat -------------------------------------------------------------------------------------------


def test_a_chat_is_answered_by_the_real_model_with_true_counts(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=8, temperature=0)

    assert (answer.model, answer.object) == ("smollm2", "chat.completion")
    assert (answer.choices[0].message.content or "").strip()
    assert answer.choices[0].finish_reason in {"stop", "length"}
    assert answer.usage is not None
    assert 1 <= answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_chat_has_a_role_contents_one_finish_reason_and_counts_where_they_are_asked_for(
    client: OpenAI,
) -> None:
    chunks = list(
        client.chat.completions.create(
            model="smollm2", messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).strip()
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens >= 1
    assert {chunk.model for chunk in chunks} == {"smollm2"}


def test_a_seed_gives_the_same_text_once_its_prompt_has_been_read_and_another_one_another(client: OpenAI) -> None:
    def say(seed: int) -> str | None:
        answer = client.chat.completions.create(
            model="smollm2", messages=HELLO, max_tokens=24, temperature=1.5, seed=seed
        )
        return answer.choices[0].message.content

    say(1)  # what comes from the cache of prompts is not the same to the last bit as what is read

    assert say(1) == say(1) != say(2)


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client: OpenAI) -> None:
    question: Any = [{"role": "user", "content": "What is the capital of France?"}]
    whole = client.chat.completions.create(model="smollm2", messages=question, max_tokens=24, temperature=0)
    stop = (whole.choices[0].message.content or "").split()[2]

    cut = client.chat.completions.create(model="smollm2", messages=question, max_tokens=24, temperature=0, stop=stop)

    assert stop not in (cut.choices[0].message.content or "")
    assert cut.choices[0].finish_reason == "stop"


def test_a_trailing_assistants_message_is_carried_on_with(client: OpenAI) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "The quick brown"}]

    going_on = {"continue_final_message": True}
    answer = client.chat.completions.create(model="healthy", messages=begun, extra_body=going_on)

    assert answer.choices[0].message.content == TEXT.removeprefix("The quick brown")


def test_the_model_named_is_the_one_that_answered(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="status-500", messages=HELLO, max_tokens=8)
    answer = raw.parse()

    assert answer.model == "backup"
    assert (raw.headers["x-neverblank-served-by"], raw.headers["x-neverblank-degraded"]) == ("backup", "true")
    told: Any = answer.model_extra
    assert told["neverblank"]["attempts"][0]["model"] == "status-500"


def test_a_stream_that_another_model_finishes_says_so_and_is_whole(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="narrator",
            messages=[{"role": "user", "content": "Tell me."}],
            stream=True,
            extra_body={"tiers": ["primary"]},
        )
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == NARRATED
    broken = list(client.chat.completions.create(model="reset-after-3", messages=HELLO, max_tokens=8, stream=True))
    assert {"reset-after-3", "backup"} <= {chunk.model for chunk in broken}
    assert broken[-1].choices[0].finish_reason in {"stop", "length"}


# --- tools and forms --------------------------------------------------------------------------------


def test_a_tool_call_of_a_remote_model_is_passed_through(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="calls-a-tool", messages=HELLO, tools=[LOOK])

    calls: Any = answer.choices[0].message.tool_calls
    assert (calls[0].function.name, answer.choices[0].finish_reason) == ("look", "tool_calls")
    assert answer.choices[0].message.content is None


def test_a_tool_call_of_a_remote_stream_is_passed_through(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="calls-a-tool", messages=HELLO, tools=[LOOK], stream=True))

    calls: Any = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [call.function.name for call in calls] == ["look"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["schema", "tool"])
def test_where_a_form_is_demanded_the_last_resort_refuses_in_words(client: OpenAI, form: str, stream: bool) -> None:  # noqa: FBT001
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    demanded: Any = {"response_format": schema} if form == "schema" else {"tools": [LOOK], "tool_choice": "required"}
    asked: Any = {"model": "status-500", "messages": HELLO, "extra_body": {"tiers": ["primary"]}, **demanded}
    if stream:
        deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
        content, refusal = ["".join(getattr(delta, name) or "" for delta in deltas) for name in ("content", "refusal")]
    else:
        answer = client.chat.completions.create(**asked)
        assert (answer.model, answer.choices[0].finish_reason) == ("last_resort", "stop")
        content, refusal = answer.choices[0].message.content or "", answer.choices[0].message.refusal or ""

    assert (content, bool(refusal)) == ("", True)


# --- completions and models --------------------------------------------------------------------------


def test_a_text_is_completed(client: OpenAI) -> None:
    answer = client.completions.create(model="smollm2", prompt="Once upon a time", max_tokens=6)

    assert (answer.model, answer.object) == ("smollm2", "text_completion")
    assert answer.choices[0].text.strip()


def test_several_prompts_give_one_choice_each_in_their_order(client: OpenAI) -> None:
    answer = client.completions.create(model="faulty", prompt=["one", "two", "three"])

    assert [choice.text for choice in answer.choices] == [f"faulty says: {word}" for word in ("one", "two", "three")]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_a_completion_is_streamed(client: OpenAI) -> None:
    # OpenAI itself sends null for the finish reason of every chunk but the last, which its client's types forbid.
    lenient = client.with_options(_extra_kwargs={"_strict_response_validation": False})
    chunks = list(lenient.completions.create(model="narrator", prompt="Tell me.", stream=True))

    assert "".join(chunk.choices[0].text for chunk in chunks) == NARRATED


def test_models_are_listed_and_described(client: OpenAI) -> None:
    assert {"smollm2", "backup", "healthy"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("smollm2").id == "smollm2"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 17), ("logit_bias", {"5": 1}), ("temperature", 3), ("top_p", 0), ("max_tokens", 0), ("stop", ["a"] * 65)],
)
def test_what_is_not_supported_is_refused_by_name(client: OpenAI, field: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="smollm2", messages=HELLO, **{field: value})

    assert caught.value.param == field
    assert caught.value.type == "invalid_request_error"


def test_a_picture_is_refused_by_its_place(client: OpenAI) -> None:
    picture: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]

    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="smollm2", messages=picture)

    assert caught.value.param == "messages[0].content[0].type"


def test_what_an_upstream_calls_invalid_is_the_callers_with_the_upstreams_field(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature has to be 1") as caught:
        client.chat.completions.create(model="status-400", messages=HELLO)

    assert caught.value.param == "temperature"


# --- LangChain --------------------------------------------------------------------------------------


@pytest.fixture
def langchain(service: Service) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=f"http://127.0.0.1:{service.port}/v1", api_key=lambda: "none", model="narrator", max_retries=0
    )


def test_langchain_gets_an_answer(langchain: ChatOpenAI) -> None:
    assert langchain.invoke("Tell me.").content == NARRATED


def test_langchain_gets_a_stream(langchain: ChatOpenAI) -> None:
    pieces = [piece for piece in langchain.stream("Tell me.") if isinstance(piece, AIMessageChunk)]

    assert "".join(str(piece.content) for piece in pieces) == NARRATED


def test_langchain_gets_tool_calls(langchain: ChatOpenAI) -> None:
    answer = langchain.bind(model="calls-a-tool", tools=[LOOK]).invoke("Look.")

    assert [call["name"] for call in answer.tool_calls] == ["look"]


def test_the_pages_that_describe_the_api_are_there(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    page = service.http.get("/docs")

    assert document["openapi"].startswith("3.1")
    assert "text/html" in page.headers["content-type"]
    assert "openapi.json" in page.text
