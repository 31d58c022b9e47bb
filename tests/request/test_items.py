"""The input items of OpenAI's Responses: the turns that they become, and what is refused."""

from typing import Any

import pytest

from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.conversation import Chat
from deployments.request.items import read_input_items

USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "look", "arguments": "{}"}
OTHER_CALL = {"type": "custom_tool_call", "call_id": "d", "name": "write", "input": "abc"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "a door"}
OTHER_RESULT = {"type": "custom_tool_call_output", "call_id": "d", "output": "done"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
SAID = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "commentary"}
TEXT = {"type": "output_text", "text": "Look:", "annotations": [], "logprobs": []}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}
CALL_OF_CHATS = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
OTHER_OF_CHATS = {"id": "d", "type": "custom", "custom": {"name": "write", "input": "abc"}}


def read(*items: Any, instructions: str = "") -> Chat:
    return read_input_items(instructions, list(items))


def refused(*items: Any) -> Problem:
    with pytest.raises(InvalidRequestError) as caught:
        read(*items)
    return caught.value.problem


def test_messages_are_turns_of_their_roles() -> None:
    said = SAID | {"content": [TEXT, {"type": "refusal", "refusal": "No."}]}
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]}

    chat = read(developer, USER, said, USER, instructions="Rhyme.")

    assert chat.turns == (
        {"role": "system", "content": "Rhyme."},
        {"role": "developer", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "Look:\nNo."},
        USER,
    )
    assert [message["role"] for message in chat.messages] == ["system", "system", "user", "assistant", "user"]
    assert chat.features == ()


def test_what_an_assistant_did_in_a_row_is_one_turn_and_results_follow_it() -> None:
    chat = read(USER, THOUGHT, SAID | {"content": [TEXT]}, CALL, OTHER_CALL, OTHER_RESULT, RESULT)

    assert chat.turns[1:] == (
        {
            "role": "assistant",
            "content": "Look:",
            "reasoning_content": "hm",
            "tool_calls": [CALL_OF_CHATS, OTHER_OF_CHATS],
        },
        {"role": "tool", "tool_call_id": "d", "content": "done"},
        {"role": "tool", "tool_call_id": "c", "content": "a door"},
    )
    assert chat.messages[1:] == (
        {"role": "assistant", "content": "Look:\nCalled look with {}\nCalled write with abc"},
        {"role": "user", "content": "Result of write: done\nResult of look: a door"},
    )


def test_calls_that_were_made_one_after_the_other_stay_apart() -> None:
    chat = read(USER, CALL, RESULT, THOUGHT, OTHER_CALL, OTHER_RESULT)

    assert [turn["role"] for turn in chat.turns] == ["user", "assistant", "tool", "assistant", "tool"]
    thought = {"reasoning_content": "hm", "tool_calls": [OTHER_OF_CHATS]}
    assert chat.turns[3] == {"role": "assistant", "content": None, **thought}


def test_pictures_in_results_are_shown_behind_all_results() -> None:
    seen = RESULT | {"output": [{"type": "input_text", "text": "a door"}, PICTURE]}

    chat = read(USER, CALL, OTHER_CALL, seen, OTHER_RESULT)

    assert chat.turns[2:] == (
        {"role": "tool", "tool_call_id": "c", "content": "a door\n[image]"},
        {"role": "tool", "tool_call_id": "d", "content": "done"},
        {"role": "user", "content": [SHOWN]},
    )
    assert [(feature.name, feature.field) for feature in chat.features] == [("image", "input[3].output[1]")]


@pytest.mark.parametrize(
    ("part", "given", "name"),
    [
        (PICTURE, SHOWN, "image"),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:,", "file_id": None},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:,"}},
            "file",
        ),
        ({"type": "input_file", "file_id": "f"}, {"type": "file", "file": {"file_id": "f"}}, "file"),
        (
            {"type": "input_audio", "input_audio": {"data": "AA"}},
            {"type": "input_audio", "input_audio": {"data": "AA"}},
            "audio",
        ),
        ({"type": "hologram", "of": 1}, {"type": "hologram", "of": 1}, "hologram"),
    ],
)
def test_a_part_that_is_no_text_is_for_upstreams_in_the_form_of_a_chat(part: Any, given: Any, name: str) -> None:
    chat = read({"role": "user", "content": [{"type": "input_text", "text": "See:"}, part]})

    assert chat.turns[0]["content"] == [{"type": "text", "text": "See:"}, given]
    assert chat.messages[0]["content"] == f"See:\n[{name}]"
    assert [feature.name for feature in chat.features] == [name]


def test_reasoning_is_told_as_it_was_thought_or_in_its_summary_and_never_by_itself() -> None:
    short = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thought"}], "encrypted_content": "x"}
    hidden = {"type": "reasoning", "summary": [], "encrypted_content": "x"}

    assert read(USER, short, CALL, RESULT).turns[1]["reasoning_content"] == "thought"
    assert "reasoning_content" not in read(USER, hidden, CALL, RESULT).turns[1]
    alone = read(USER, THOUGHT, USER)
    assert [turn["role"] for turn in alone.turns] == ["user", "user"]
    assert [(each.name, each.foreign) for each in alone.features] == [("reasoning", True)]


def test_reasoning_that_is_only_referred_to_is_left_out_and_listed() -> None:
    chat = read(USER, {"type": "item_reference", "id": "rs_1"}, CALL, RESULT)

    assert [turn["role"] for turn in chat.turns] == ["user", "assistant", "tool"]
    assert [(each.name, each.field, each.foreign) for each in chat.features] == [("reasoning", "input[1].type", True)]


def test_what_tools_of_other_services_did_is_left_out_and_listed() -> None:
    chat = read(USER, {"type": "web_search_call", "id": "ws_1", "status": "completed"}, USER)

    assert chat.turns == (USER, USER)
    assert [(each.name, each.field, each.foreign) for each in chat.features] == [
        ("web_search_call", "input[1].type", True)
    ]


def test_an_assistants_message_at_the_end_is_a_turn_like_any_other() -> None:
    chat = read(USER, SAID | {"content": "Well"})

    assert (chat.prefix, chat.turns[-1]) == ("", {"role": "assistant", "content": "Well"})


def test_items_of_the_conversation_before_come_first() -> None:
    chat = read_input_items("New.", "And?", [USER, CALL, RESULT])

    assert [turn["role"] for turn in chat.turns] == ["system", "user", "assistant", "tool", "user"]


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([3], "input[0]"),
        ([{}], "input[0].type"),
        ([{"type": "x" * 65}], "input[0].type"),
        ([{"role": "critic", "content": "Hi"}], "input[0].role"),
        ([{"role": "user"}], "input[0].content"),
        ([{"role": "user", "content": " "}], "input[0].content"),
        ([{"role": "user", "content": [3]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "input_file", "filename": "f"}]}], "input[0].content[0]"),
        ([{"role": "system", "content": [PICTURE]}], "input[0].content[0].type"),
        ([USER, CALL], "input[1]"),
        ([USER, RESULT], "input[1].call_id"),
        ([USER, CALL | {"name": ""}], "input[1].name"),
        ([USER, CALL | {"call_id": None}], "input[1].call_id"),
        ([USER, CALL | {"arguments": {}}], "input[1].arguments"),
        ([USER, CALL, RESULT | {"output": None}], "input[2].output"),
        ([USER, THOUGHT | {"content": "hm"}, SAID | {"content": "x"}], "input[1].content"),
        ([USER, {"type": "item_reference", "id": "msg_1"}], "input[1].type"),
        ([{"type": "web_search_call"}], "input"),
        ([], "input"),
    ],
)
def test_an_item_that_is_none_is_refused_by_its_place(items: list[Any], field: str) -> None:
    assert refused(*items).field == field
