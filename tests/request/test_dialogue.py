"""The messages of Anthropic's format: what they become in the form that all formats share, and what is none."""

from typing import Any

import pytest

from deployments.request import InferenceRequest
from deployments.request.passing import MAX_FIELDS
from tests.request.test_anthropic import USER, features, read, refused

STORED = {"cache_control": {"type": "ephemeral"}}
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"where": "here"}}
CALLED = {"role": "assistant", "content": [CALL]}
UPLOADED = {"type": "container_upload", "file_id": "f"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
SEEN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def result(content: Any = "a door", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **more}


def of(*content: Any) -> InferenceRequest:
    """A request whose last message has this content, behind a call of a tool."""
    return read(messages=[USER, CALLED, {"role": "user", "content": list(content)}])


@pytest.mark.parametrize("system", ["Be brief.", [text("Be brief.", **STORED)]])
def test_a_system_prompt_is_the_first_turn(system: Any) -> None:
    request = read(system=system)

    assert request.turns == ({"role": "system", "content": "Be brief."}, USER)
    assert request.messages == request.turns


def test_a_system_message_stays_in_its_place() -> None:
    request = read(messages=[USER, {"role": "system", "content": [text("Be brief.")]}])

    assert [turn["role"] for turn in request.turns] == ["user", "system"]


def test_an_empty_system_prompt_is_none() -> None:
    assert read(system="").turns == (USER,)


def test_blocks_of_text_are_one_text() -> None:
    request = read(messages=[{"role": "user", "content": [text("One", **STORED), text(""), text("two")]}])

    assert request.turns == ({"role": "user", "content": "One\ntwo"},)
    assert request.features == ()


@pytest.mark.parametrize(
    ("block", "part", "name"),
    [
        (PICTURE | STORED, SEEN, "image"),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            "image",
        ),
        (
            {"type": "document", "title": "a.pdf", "source": PICTURE["source"]},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:image/png;base64,AA=="}},
            "file",
        ),
        (
            {"type": "container_upload", "file_id": "f"},
            {"type": "container_upload", "file_id": "f"},
            "container_upload",
        ),
    ],
)
def test_what_is_no_text_is_a_part_for_upstreams_and_told_in_a_word(
    block: dict[str, Any], part: dict[str, Any], name: str
) -> None:
    request = read(messages=[{"role": "user", "content": [text("What is it?"), block]}])

    assert request.turns[0]["content"] == [text("What is it?"), part]
    assert request.messages[0]["content"] == f"What is it?\n[{name}]"
    assert features(request) == [(name, "messages[0].content[1]", True)]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a door"}}, "a door"),
        ({"type": "document", "title": "T", "source": {"type": "content", "content": [text("a door")]}}, "T\na door"),
        ({"type": "search_result", "title": "T", "source": "S", "content": [text("a door")]}, "T\nS\na door"),
    ],
)
def test_a_document_that_is_a_text_is_read_by_every_model(block: dict[str, Any], said: str) -> None:
    request = read(messages=[{"role": "user", "content": [block]}])

    assert (request.turns[0]["content"], request.features) == (said, ())


def test_a_tools_result_is_a_turn_of_its_own_before_the_rest_of_its_message() -> None:
    request = of(text("Go on."), result())

    assert request.turns[1]["content"] is None
    assert request.turns[1]["tool_calls"] == [
        {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"where":"here"}'}}
    ]
    assert request.turns[2:] == (
        {"role": "tool", "tool_call_id": "toolu_1", "content": "a door"},
        {"role": "user", "content": "Go on."},
    )
    assert [turn["content"] for turn in request.messages] == [
        "Hi",
        'Called look with {"where":"here"}',
        "Result of look: a door\nGo on.",
    ]


@pytest.mark.parametrize("content", [None, "", []])
def test_a_tool_may_have_nothing_to_say(content: Any) -> None:
    assert of(result(content)).turns[2]["content"] == ""


def test_a_tools_error_is_told_as_one() -> None:
    assert of(result([text("no"), text("door")], is_error=True)).turns[2]["content"] == "Error: no\ndoor"


def test_a_picture_in_a_tools_result_is_shown_in_the_turn_behind_it() -> None:
    request = of(result([text("See:"), PICTURE]))

    assert request.turns[2:] == (
        {"role": "tool", "tool_call_id": "toolu_1", "content": "See:\n[image]"},
        {"role": "user", "content": [SEEN]},
    )
    assert features(request) == [("image", "messages[2].content[0].content[1]", True)]


def test_reasoning_goes_back_to_upstreams_and_what_only_anthropic_can_read_is_listed() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    sealed = {"type": "redacted_thinking", "data": "xyz"}
    said = {"role": "assistant", "content": [thought, sealed, text("Well."), CALL]}

    request = read(messages=[USER, said, {"role": "user", "content": [result()]}])

    turn = request.turns[1]
    assert (turn["reasoning_content"], turn["content"], len(turn["tool_calls"])) == ("hm", "Well.", 1)
    assert features(request) == [("redacted_thinking", "messages[1].content[1].type", False)]
    assert [feature.foreign for feature in request.features] == [True]


def test_a_trailing_assistants_message_is_the_beginning_of_the_answer() -> None:
    request = read(messages=[USER, {"role": "assistant", "content": [text("Well, ")]}])

    assert (request.prefix, request.turns, request.prefix_turn["content"]) == ("Well, ", (USER,), "Well, ")


@pytest.mark.parametrize("content", [[text("Well, "), UPLOADED], [UPLOADED, text("Well, ")]])
def test_what_is_no_text_is_no_part_of_the_beginning_of_an_answer(content: Any) -> None:
    request = read(messages=[USER, {"role": "assistant", "content": content}])

    assert request.prefix == "Well, "
    assert [name for name, _, _ in features(request)] == ["container_upload"]
    assert refused(messages=[USER, {"role": "assistant", "content": [UPLOADED]}]).field == "messages[1].content"


def test_a_python_model_reads_the_turns_that_it_would_be_sent_in_openais_format() -> None:
    request = read(system="Be brief.", messages=[USER, {"role": "assistant", "content": "Well, "}])

    assert [turn["role"] for turn in request.inputs["messages"]] == ["system", "user", "assistant"]


@pytest.mark.parametrize(("extra", "refusal"), [(0, ""), (1, "messages[0].content[0].x64")])
def test_more_fields_of_blocks_than_anybody_needs_are_refused(extra: int, refusal: str) -> None:
    block = text("Hi", **{f"x{number}": 1 for number in range(MAX_FIELDS + extra)})
    messages = [{"role": "user", "content": [block]}]

    if extra:
        assert refused(messages=messages).field == refusal
    else:
        assert len(read(messages=messages).features) == MAX_FIELDS


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ([], "messages"),
        (["Hi"], "messages[0]"),
        ([{"role": "robot", "content": "Hi"}], "messages[0].role"),
        ([{"role": ["user"], "content": "Hi"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": " "}], "messages[0].content"),
        ([{"role": "user", "content": ["Hi"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": 5}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "image"}]}], "messages[0].content[0].source"),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}],
            "messages[0].content[0].source.type",
        ),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "A"}}]}],
            "messages[0].content[0].source.media_type",
        ),
        (
            [{"role": "user", "content": [{"type": "document", "source": {"type": "content", "content": [5]}}]}],
            "messages[0].content[0].source.content[0]",
        ),
        ([{"role": "user", "content": [result()]}], "messages[0].content[0].tool_use_id"),
        ([USER, CALLED, {"role": "user", "content": [result(is_error=1)]}], "messages[2].content[0].is_error"),
        ([USER, CALLED, {"role": "user", "content": [result(5)]}], "messages[2].content[0].content"),
        ([USER, CALLED], "messages[1].content"),
        ([USER, {"role": "assistant", "content": [CALL | {"input": 5}]}], "messages[1].content[0].input"),
        ([USER, {"role": "assistant", "content": [CALL | {"id": ""}]}], "messages[1].content[0].id"),
        ([{"role": "assistant", "content": "Well"}], "messages"),
        ([USER, {"role": "system", "content": [PICTURE]}], "messages[1].content[0].type"),
    ],
)
def test_a_message_that_is_none_is_refused_by_its_place(messages: Any, field: str) -> None:
    assert refused(messages=messages).field == field
