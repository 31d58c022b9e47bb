"""Dialects of tool calls."""

from tests.upstream.dialect import (
    BEGUN,
    CALLED,
    DONE,
    HERE,
    IT,
    LISTEN,
    LOOK,
    Dialect,
    call,
    calls,
    chunk,
    whole,
)

BOTH = (LOOK, LISTEN)
MIXED = (("2", IT[:5]), ("1", HERE[:5]), ("1", HERE[5:]), ("2", IT[5:]))
"""Ids of two calls, and the pieces of their arguments, not in the order of the calls."""

SAID = {"type": "text", "text": BEGUN}
SIGNED = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}


def called(wire: tuple[bytes, ...], *made: tuple[str, dict[str, str]], says: str = "", skipped: int = 0) -> Dialect:
    return Dialect(wire, says, made, "tool_calls", skipped=skipped)


CALLS = {
    "calls-whole": called(whole({"tool_calls": [call("look", HERE, id="1", type="function")]}, "tool_calls"), LOOK),
    "calls-in-pieces": called(
        calls(
            call("look", "", index=0, id="1", type="function"),
            {"index": 0, "function": {"arguments": HERE[:5]}},
            {"index": 0, "function": {"arguments": HERE[5:]}},
            call("listen", IT, index=1, id="2", type="function"),
        ),
        *BOTH,
    ),
    "calls-without-index": called(calls(call("look", HERE, id="1"), call("listen", IT, id="2")), *BOTH),
    "calls-without-index-in-one-delta": called(calls([call("look", HERE, id="1"), call("listen", IT, id="2")]), *BOTH),
    "calls-without-index-in-pieces": called(
        calls(
            call("look", HERE[:5], id="1"),
            {"function": {"arguments": HERE[5:]}},
            call("listen", IT[:5], id="2"),
            {"id": "2", "function": {"arguments": IT[5:]}},
        ),
        *BOTH,
    ),
    "calls-without-index-or-id": called(calls(call("look", HERE), call("listen", IT)), *BOTH),
    "calls-twice-the-same-tool": called(calls(call("look", HERE), call("look", IT)), LOOK, ("look", LISTEN[1])),
    "calls-with-the-same-index": called(
        calls(call("look", HERE, index=0, id="1"), call("listen", IT, index=0, id="2")), *BOTH
    ),
    "calls-with-the-same-index-and-no-id": called(
        calls(call("look", HERE, index=0, id=""), call("look", IT, index=0, id="")), LOOK, ("look", LISTEN[1])
    ),
    "calls-with-the-same-index-and-no-arguments": called(
        calls(call("look", "", index=0, id="1"), call("listen", IT, index=0, id="2")), ("look", {}), LISTEN
    ),
    "calls-with-a-new-id-in-each-delta": called(
        calls(
            call("look", "", index=0, id="a"),
            {"index": 0, "id": "b", "function": {"arguments": HERE[:5]}},
            {"index": 0, "id": "c", "function": {"name": None, "arguments": HERE[5:]}},
        ),
        LOOK,
    ),
    "calls-with-the-same-id": called(
        calls(call("look", HERE, index=0, id="1"), call("listen", IT, index=1, id="1")), *BOTH
    ),
    "calls-with-the-same-index-told-by-their-ids": called(
        calls(
            call("look", "", index=0, id="1"),
            call("listen", "", index=0, id="2"),
            *({"index": 0, "id": key, "function": {"arguments": piece}} for key, piece in MIXED),
        ),
        *BOTH,
    ),
    "calls-without-index-told-by-their-ids": called(
        calls(
            [call("look", "", id="1"), call("listen", "", id="2")],
            *([{"id": key, "function": {"arguments": piece}} for key, piece in MIXED[at : at + 2]] for at in (0, 2)),
        ),
        *BOTH,
    ),
    "calls-with-an-index-in-words": called(
        calls(call("look", HERE[:5], index="0", id="1"), {"index": "0", "function": {"arguments": HERE[5:]}}), LOOK
    ),
    "calls-beside-a-text": called(
        (chunk({"content": BEGUN, "tool_calls": [call("look", HERE, index=0, id="1")]}), *CALLED), LOOK, says=BEGUN
    ),
    "calls-with-an-object": called(calls(call("look", LOOK[1], index=0, id="1")), LOOK),
    "calls-with-an-object-whole": called(whole({"tool_calls": [call("look", LOOK[1], id="1")]}), LOOK),
    "calls-with-null": called(calls(call("look", None, index=0, id="1")), ("look", {})),
    "calls-without-arguments": called(calls({"index": 0, "id": "1", "function": {"name": "look"}}), ("look", {})),
    "calls-with-empty-arguments": called(calls(call("look", " ", index=0, id="1")), ("look", {})),
    "calls-with-arguments-in-quotes": called(calls(call("look", '"{\\"where\\": \\"here\\"}"', index=0, id="1")), LOOK),
    "calls-cumulative": called(
        calls(*(call("look", HERE[:size], index=0, id="1") for size in (3, 9, len(HERE), len(HERE)))), LOOK
    ),
    "calls-in-pieces-and-then-whole": called(
        calls(
            call("look", HERE[:5], index=0, id="1"),
            {"index": 0, "function": {"arguments": HERE[5:]}},
            call("look", HERE, index=0, id="1"),
        ),
        LOOK,
    ),
    "calls-cumulative-with-objects": called(
        calls(call("look", {}, index=0, id="1"), {"index": 0, "function": {"arguments": LOOK[1]}}), LOOK
    ),
    "calls-that-grow": called(
        calls(
            *(call("look", made, index=0, id="1") for made in ({}, {"where": ""}, {"where": "he"}, LOOK[1])),
            *(call("listen", text, index=1, id="2") for text in ("{}", IT)),
        ),
        *BOTH,
    ),
    "calls-that-grow-without-index": called(
        calls(*(call("look", made, id="1") for made in ({}, {"where": "he"}, LOOK[1])), call("listen", IT, id="2")),
        *BOTH,
    ),
    "calls-with-a-placeholder": called(
        calls(
            call("look", "{}", index=0, id="1"),
            {"index": 0, "function": {"arguments": HERE[:5]}},
            {"index": 0, "id": "1", "function": {"arguments": HERE[5:]}},
        ),
        LOOK,
    ),
    "calls-without-index-and-of-one-id": called(
        calls(call("look", HERE, id="1"), call("look", IT, id="1"), call("listen", IT, id="1")),
        LOOK,
        ("look", LISTEN[1]),
        LISTEN,
    ),
    "calls-with-the-name-in-each-delta": called(
        calls(*(call("look", piece, index=0, id="1") for piece in (HERE[:5], HERE[5:9], HERE[9:]))), LOOK
    ),
    "calls-with-the-name-in-each-delta-and-no-index": called(
        calls(*(call("look", piece) for piece in (HERE[:5], HERE[5:9], HERE[9:]))), LOOK
    ),
    "calls-with-the-name-in-pieces": called(
        calls(call("lo", "", index=0, id="1"), call("ok", HERE, index=0, id="1")), LOOK
    ),
    "calls-in-the-old-form": called(
        (
            chunk({"function_call": {"name": "look", "arguments": HERE[:5]}}),
            chunk({"function_call": {"arguments": HERE[5:]}}, "function_call"),
            DONE,
        ),
        LOOK,
    ),
    "calls-in-the-old-form-whole": called(
        whole({"content": None, "function_call": {"name": "look", "arguments": HERE}}, "function_call"), LOOK
    ),
    "calls-in-camel-case": called(
        (chunk({"toolCalls": [call("look", HERE, id="1")]}), chunk({"content": BEGUN}), *CALLED), LOOK, says=BEGUN
    ),
    "calls-in-camel-case-whole": called(
        whole({"content": BEGUN, "toolCalls": [call("look", HERE, id="1")]}, "tool_calls"), LOOK, says=BEGUN
    ),
    "calls-under-two-names": called(
        whole({"tool_calls": [call("look", HERE, id="1")], "toolCalls": [call("look", HERE, id="1")]}), LOOK
    ),
    "calls-among-the-parts": called(
        (
            chunk({"content": [SAID, {"type": "tool_use", "id": "1", "name": "look", "input": LOOK[1]}]}),
            chunk({"content": [{"type": "function_call", "call_id": "2", "name": "listen", "arguments": IT}]}),
            *CALLED,
        ),
        *BOTH,
        says=BEGUN,
    ),
    "calls-among-the-parts-whole": called(
        whole({"content": [SAID, *({"functionCall": {"name": name, "args": made}} for name, made in BOTH)]}, "STOP"),
        *BOTH,
        says=BEGUN,
    ),
    "calls-among-the-parts-and-beside-them": called(
        whole(
            {
                "content": [SAID, {"type": "tool_use", "id": "1", "name": "look", "input": LOOK[1]}],
                "tool_calls": [call("look", HERE, id="1")],
            },
            "tool_calls",
        ),
        LOOK,
        says=BEGUN,
    ),
    "calls-alone-among-the-parts": called(
        whole({"content": {"parts": [{"functionCall": {"name": "look", "args": LOOK[1]}}]}}, "STOP"), LOOK
    ),
    "tools-of-the-providers-own-among-the-parts": Dialect(
        whole({"content": [SAID, {"type": "server_tool_use", "id": "1", "name": "look", "input": LOOK[1]}]}), BEGUN
    ),
    "calls-without-a-function": called(calls({"index": 0, "id": "1", "name": "look", "arguments": HERE}), LOOK),
    "calls-without-id-and-type": called(calls(call("look", HERE, index=0, id="", type=None)), LOOK),
    "calls-that-end-with-stop": called(calls(call("look", HERE, index=0, id="1"), end=(chunk({}, "stop"), DONE)), LOOK),
    "calls-that-end-with-stop-whole": called(whole({"tool_calls": [call("look", HERE, id="1")]}, "stop"), LOOK),
    "calls-with-a-signature": called(calls(call("look", HERE, index=0, id="1", **SIGNED)), LOOK),
    "calls-with-a-signature-apart": called(
        calls(call("look", HERE, index=0, id="1"), {"index": 0, "id": "1", **SIGNED}), LOOK
    ),
    "calls-with-a-signature-whole": called(whole({"tool_calls": [call("look", HERE, id="1", **SIGNED)]}), LOOK),
    "calls-with-control-characters": called(
        calls(call("look", '{"where": "a\nb"}', index=0, id="1")), ("look", {"where": "a\nb"})
    ),
    "announces-a-call-and-makes-none": Dialect((chunk({"content": BEGUN}), *CALLED), BEGUN),
    "announces-a-call-and-says-nothing": Dialect((chunk({"content": ""}), *CALLED), "", ends="Blank"),
    "half-a-call": Dialect(
        calls(call("look", HERE[:9], index=0, id="1"), end=(chunk({}, "length"), DONE)), "", ends="Failed"
    ),
    "half-a-call-without-arguments": Dialect(
        calls(call("look", "", index=0, id="1"), end=(chunk({}, "length"), DONE)), "", ends="Failed"
    ),
    "half-a-call-whole": Dialect(whole({"tool_calls": [call("look", HERE[:9], id="1")]}, "length"), "", ends="Failed"),
    "half-a-call-that-ends-with-tool-calls": Dialect(calls(call("look", HERE[:9], index=0)), "", ends="Failed"),
    "half-a-call-and-then-an-empty-one": Dialect(
        calls(
            call("look", HERE[:9], index=0, id="1"),
            {"index": 0, "function": {"arguments": "{}"}},
            end=(chunk({}, "length"), DONE),
        ),
        "",
        ends="Failed",
    ),
    "a-call-and-then-an-empty-one": Dialect(
        calls(call("look", HERE, index=0, id="1"), {"index": 0, "function": {"arguments": "{}"}}), "", ends="Failed"
    ),
    "half-a-call-behind-a-placeholder": Dialect(
        calls(call("look", "{}", index=0, id="1"), end=(chunk({}, "length"), DONE)), "", ends="Failed"
    ),
    "calls-that-contradict-each-other": Dialect(
        calls(call("look", HERE, index=0, id="1"), call("look", {"where": "there"}, index=0, id="1")), "", ends="Failed"
    ),
    "calls-without-a-name": Dialect(calls({"index": 0, "function": {"arguments": HERE}}), "", ends="Failed"),
    "calls-with-a-list": Dialect(calls(call("look", "[1]", index=0, id="1")), "", ends="Failed"),
    "calls-that-are-glued": Dialect(calls(call("look", HERE + IT, index=0, id="1")), "", ends="Failed"),
}
