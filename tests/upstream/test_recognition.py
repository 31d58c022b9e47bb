"""What is an error, where the status says success, and what is none: no good answer is failed by a word beside it."""

from typing import Any

import pytest

from deployments.upstream.recognition import is_complaint

ANSWER = {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}
FILTERED = {"content_filter_results": {"hate": {"filtered": True}}}
LOOKED = {"content_filter_results": {"hate": {"filtered": False}, "jailbreak": {"detected": True}, "error": None}}


@pytest.mark.parametrize(
    "beside",
    [
        {"error": None},
        {"error": {}},
        {"error": ""},
        {"error": {"code": 0, "message": ""}},
        {"error": {"code": "0", "message": "Success", "request_id": "x"}},
        {"error": {"code": None, "message": None, "details": []}},
        {"error": "none"},
        {"errors": ["a warning"]},
        {"code": 10013, "message": "as it may say beside an answer"},
        {"success": False},
        {"detail": "queued"},
        {"prompt_filter_results": [FILTERED]},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"base_resp": {"status_code": 1000, "status_msg": "unknown"}},
    ],
)
def test_an_answer_is_none_of_the_errors_that_it_denies_or_that_stand_beside_it(beside: dict[str, Any]) -> None:
    assert not is_complaint(ANSWER | beside)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"code": 0, "message": "Success"},
        {"code": "ok", "msg": "queued"},
        {"code": 200, "message": "OK"},
        {"errcode": 0, "errmsg": "it went well"},
        {"status": 200, "message": "OK"},
        {"status": "in_progress", "message": "working"},
        {"status": "loading", "message": "the model is loading"},
        {"type": "info", "message": "the rate limit is far away"},
        {"detail": "queued", "choices": []},
        {"success": True, "errors": [], "messages": []},
        {"choices": [], "prompt_filter_results": [LOOKED]},
        {"choices": [], "promptFeedback": {"safetyRatings": []}},
        {"choices": [], "promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}},
        {"header": {"code": 0, "message": "Success"}},
        {"type": "message_start", "message": {"role": "assistant"}},
        {"type": "response.in_progress", "response": {"status": "in_progress", "error": None}},
        {"message": {"role": "assistant", "content": "Hi"}, "done": False},
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
    ],
)
def test_an_event_without_choices_that_tells_of_no_trouble_is_no_error(event: dict[str, Any]) -> None:
    assert not is_complaint(event)


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"code": 0, "message": "It died."}},
        {"error": {"code": 500, "message": ""}},
        {"error": True, **ANSWER},
        {"Error": "It died."},
        {"ErrorMsg": {"Msg": "It died."}},
        {"Response": {"Error": {"Code": "x"}}},
        {"fault": {"faultstring": "It died."}},
        {"exception": "It died."},
        {"success": False},
        {"detail": "Not found"},
        {"code": None, "message": "It died."},
        {"code": "DataInspectionFailed", "msg": "No."},
        {"error_code": 17, "error_msg": "No.", "choices": []},
        {"status": "error", "message": "It died."},
        {"type": "error", "message": "It died."},
        {"statusCode": 429, "message": "Slow down."},
        {"type": "moderation", "message": "It was blocked."},
        {"choices": [], "prompt_filter_results": [FILTERED]},
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"base_resp": {"status_code": 1027}, **ANSWER},
        {"base_resp": {"status_code": 1008}},
        [{"error": {"code": 400}}],
    ],
)
def test_an_error_is_one_in_every_shape(event: Any) -> None:
    assert is_complaint(event)


def test_an_error_is_told_from_an_answer_within_bounds() -> None:
    deep: Any = {"code": 0}
    for _ in range(100):
        deep = {"error": deep}
    wide = {f"key{place}": {"code": 0} for place in range(10_000)} | {"error": [{"code": 0}] * 10_000}

    assert is_complaint(deep)
    assert not is_complaint(wide)
