"""Dialects of ends: finish reasons, errors in their place, and what comes behind them."""

import json

from tests.upstream.dialect import BEGUN, DONE, END, PLAIN, REST, SAID, Dialect, choice, chunk, event, whole

WITHHELD = "The model's content filter has withheld this answer."
ERROR = {"message": "The engine died.", "type": "server_error", "code": 500}
GLUED = (chunk({"content": " And this is another answer."}), chunk({}, "stop"), DONE)


def begun(*ends: bytes, reason: str) -> Dialect:
    """An answer that begins, and ends like that."""
    return Dialect((chunk({"content": BEGUN}), *ends), BEGUN, ends=reason)


def ends_with(reason: object, means: str) -> Dialect:
    return begun(chunk({}, reason), DONE, reason=means)


FAILURES = ("error", "abort", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "OTHER")
FILTERS = ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "sensitive")
MORE_FILTERS = ("content_filtered", "guardrail_intervened", "ERROR_TOXIC", "refusal")
CUTS = ("MAX_TOKENS", "model_length", "model_context_window_exceeded", "brand_new")
COMPLETE = ("STOP", "end_turn", "COMPLETE", "eos_token", "FINISH_REASON_STOP")

ENDS = {
    **{f"ends-with-{reason}": ends_with(reason, "Failed") for reason in FAILURES},
    **{f"ends-with-{reason}": ends_with(reason, "content_filter") for reason in (*FILTERS, *MORE_FILTERS)},
    **{f"ends-with-{reason}": ends_with(reason, "length") for reason in CUTS},
    **{f"ends-with-{reason}": ends_with(reason, "stop") for reason in COMPLETE},
    "ends-with-an-object": ends_with({"type": "abort", "message": "Aborted."}, "Failed"),
    "fails-whole": Dialect(whole({"content": BEGUN}, "error"), BEGUN, ends="Failed"),
    "withheld-whole": Dialect(whole({"content": None}, "SAFETY"), WITHHELD, ends="content_filter"),
    "withheld-before-the-first-content": Dialect((chunk({}, "SAFETY"), DONE), WITHHELD, ends="content_filter"),
    "native-reason-fails": begun(
        chunk({}, "stop", native_finish_reason="MALFORMED_FUNCTION_CALL"), DONE, reason="Failed"
    ),
    "native-reason-withholds": begun(chunk({}, "stop", native_finish_reason="SAFETY"), DONE, reason="content_filter"),
    "reason-in-camel-case": Dialect(
        (*SAID, event({"choices": [{"index": 0, "delta": {}, "finishReason": "stop"}]}), DONE)
    ),
    "reason-in-the-delta": Dialect((*SAID, chunk({"finish_reason": "stop"}), DONE)),
    "reason-in-the-message": Dialect(whole({"content": BEGUN + REST, "finish_reason": "stop"}, None)),
    "reason-of-another-format-in-the-delta": begun(chunk({"stop_reason": "max_tokens"}), DONE, reason="length"),
    "reason-beside-the-choices": Dialect((*SAID, event({"choices": [choice({})], "finish_reason": "stop"}), DONE)),
    "reason-beside-no-choices": Dialect((*SAID, event({"choices": [], "finish_reason": "stop"}), DONE)),
    "stop-reason-alone": Dialect((*SAID, chunk({}, stop_reason="end_turn"), DONE)),
    "stop-reason-beside-a-reason": begun(chunk({}, "length", stop_reason="stop"), DONE, reason="length"),
    "stop-reason-that-is-a-text": begun(chunk({}, stop_reason="###"), DONE, reason="Failed"),
    "empty-reason-in-each-chunk": Dialect((chunk({"content": BEGUN}, ""), chunk({"content": REST}, ""), *END)),
    "null-in-words-in-each-chunk": Dialect((chunk({"content": BEGUN}, "null"), chunk({"content": REST}, "null"), *END)),
    "unspecified-reason-in-each-chunk": Dialect(
        (chunk({"content": BEGUN}, "FINISH_REASON_UNSPECIFIED"), chunk({"content": REST}, "FINISH_REASON_STOP"), DONE)
    ),
    "stop-in-each-chunk": Dialect(
        (
            chunk({"role": "assistant", "content": ""}, "stop"),
            chunk({"reasoning_content": "Hm."}, "stop"),
            *(chunk({"content": piece}, "stop") for piece in (BEGUN, REST[:9], REST[9:])),
            DONE,
        ),
        beside={"reasoning_content": "Hm."},
    ),
    "stop-in-each-chunk-and-cut": Dialect(
        (chunk({"content": BEGUN[:5]}, "stop"), chunk({"content": BEGUN[5:]}, "stop")), BEGUN, ends="Failed"
    ),
    "reason-with-the-last-content": Dialect((chunk({"content": BEGUN}), chunk({"content": REST}, "stop"), DONE)),
    "empty-reason-and-no-end": begun(chunk({}, ""), DONE, reason="Failed"),
    "error-in-the-choice": begun(
        event({"choices": [{**choice({"content": ""}, "error"), "error": ERROR}]}), DONE, reason="Failed"
    ),
    "error-beside-choices": begun(
        event({"error": ERROR, "choices": [choice({"content": ""}, "error")]}), DONE, reason="Failed"
    ),
    "error-event": begun(b"event: error\n" + event({"message": "Died.", "code": 500}), reason="Failed"),
    "error-event-in-words": begun(b"event: error\ndata: upstream died\n\n", reason="Failed"),
    "error-line-between-events": begun(json.dumps({"error": ERROR}).encode() + b"\n", reason="Failed"),
    "error-behind-the-end": Dialect((*SAID, chunk({}, "stop"), event({"error": ERROR}), DONE)),
    "text-behind-the-end": Dialect((*SAID, chunk({}, "stop"), *GLUED), skipped=1),
    "garbage-behind-the-end": Dialect((*SAID, chunk({}, "stop"), *[b"data: {{{\n\n"] * 9, DONE), skipped=9),
    "text-behind-done": Dialect((*PLAIN, *GLUED)),
    "silence-behind-the-end": Dialect((*SAID, chunk({}, "stop")), stays_open=True),
    "silence-behind-a-whole-answer": Dialect(
        whole({"content": BEGUN + REST}), content_type="application/json", stays_open=True
    ),
    "no-done-and-no-usage": Dialect((*SAID, chunk({}, "stop"))),
}
