"""Dialects of ends: finish reasons, errors in their place, and what comes behind them."""

import json

from tests.upstream.dialect import BEGUN, DONE, END, PLAIN, REST, SAID, Dialect, choice, chunk, event, whole

WITHHELD = "The model's content filter has withheld this answer."
ERROR = {"message": "The engine died.", "type": "server_error", "code": 500}
NO_ERROR = {"code": 0, "message": ""}
LOOKED = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"filtered": False, "detected": True}}
STATES = {
    "code-0": {"code": 0, "message": "Success"},
    "code-200": {"code": 200, "message": "OK"},
    "errcode-0": {"errcode": 0, "errmsg": "ok", "success": True},
    "header": {"header": {"code": 0, "message": "Success", "sid": "x"}},
}
PIECES = (choice({"content": BEGUN}), choice({"content": REST}), choice({}, "stop"))
GLUED = (chunk({"content": " And this is another answer."}), chunk({}, "stop"), DONE)


def begun(*ends: bytes, reason: str) -> Dialect:
    """An answer that begins, and ends like that."""
    return Dialect((chunk({"content": BEGUN}), *ends), BEGUN, ends=reason)


def ends_with(reason: object, means: str) -> Dialect:
    return begun(chunk({}, reason), DONE, reason=means)


def said_with(reason: str) -> Dialect:
    """A good answer whose chunks before the last have a finish reason that is none."""
    return Dialect((chunk({"content": BEGUN}, reason), chunk({"content": REST}, reason), *END))


FAILURES = ("error", "abort", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "OTHER")
FILTERS = ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "sensitive")
MORE_FILTERS = ("content_filtered", "guardrail_intervened", "ERROR_TOXIC", "refusal")
CUTS = ("MAX_TOKENS", "model_length", "model_context_window_exceeded", "brand_new")
COMPLETE = ("STOP", "end_turn", "COMPLETE", "eos_token", "FINISH_REASON_STOP", "endTurn")
FAILURES_BY_WORDS = ("provider_error", "engine_error", "idle_timeout", "connection_lost", "preempted", "exception")
FILTERS_BY_WORDS = ("contentFilter", "guardrailIntervened", "content_blocked", "policy_violation", "output_filter")
NO_ENDS = ("pending", "processing", "queued", "streaming")

ENDS = {
    **{f"ends-with-{reason}": ends_with(reason, "Failed") for reason in (*FAILURES, *FAILURES_BY_WORDS)},
    **{
        f"ends-with-{reason}": ends_with(reason, "content_filter")
        for reason in (*FILTERS, *MORE_FILTERS, *FILTERS_BY_WORDS)
    },
    **{f"ends-with-{reason}": ends_with(reason, "length") for reason in CUTS},
    **{f"ends-with-{reason}": ends_with(reason, "stop") for reason in COMPLETE},
    **{f"{reason}-in-each-chunk": said_with(reason) for reason in NO_ENDS},
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
    "filtered-flag-behind-a-text": begun(
        event({"choices": [choice({}, "stop", content_filter_results={"hate": {"filtered": True}})]}),
        DONE,
        reason="content_filter",
    ),
    "filter-that-has-only-looked": Dialect(
        (
            event({"choices": [], "prompt_filter_results": [{"content_filter_results": LOOKED}]}),
            *SAID,
            event({"choices": [choice({}, "stop", content_filter_results=LOOKED)]}),
            DONE,
        )
    ),
    **{
        f"success-in-words-{name}": Dialect((event(said), SAID[0], SAID[1], event(said), SAID[2], *END), skipped=2)
        for name, said in STATES.items()
    },
    "state-beside-no-choices": Dialect((event({"detail": "queued", "choices": []}), *PLAIN)),
    "error-that-is-none": Dialect(
        (*(event({"error": NO_ERROR, "choices": [each]}) for each in PIECES), event({"error": NO_ERROR}), DONE),
        skipped=1,
    ),
    "success-beside-choices": Dialect(
        (
            *(event({"code": 0, "message": "Success", "sid": "x", "choices": [each]}) for each in PIECES[:2]),
            event({"base_resp": {"status_code": 0, "status_msg": ""}, "choices": [PIECES[2]]}),
            DONE,
        )
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
