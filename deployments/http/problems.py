"""The responses of all 4xx: an error object that names the field, in the format of the API that was called."""

from typing import Any

from starlette.responses import Response

from deployments.http.responses import json_response
from deployments.policy.answer import Answer
from deployments.policy.problem import CONTEXT_LENGTH, NO_THREADS, Problem

NOT_FOUND = 404
_OPENAI = ("/v1/", "/v2/", "/tokenize", "/detokenize", "/rerank", "/score")
_NATIVE = "/v1/infer"
_ANTHROPIC = "/v1/messages"
_CODES = {404: "not_found", 408: "timeout", 413: "request_too_large", 415: "unsupported_encoding"}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {404: "not_found_error", 413: "request_too_large", 508: "api_error", **_OPENAI_TYPES}
_TOO_LONG = "prompt is too long: "
"""How Anthropic's own error begins where a prompt is beyond the context: clients that can shorten it look for it."""


def speaks_openai(path: str) -> bool:
    """Return whether errors at `path` are in OpenAI's form: those of its API, and of what does not exist beside it."""
    return path.startswith(_OPENAI) and not path.startswith((_NATIVE, _ANTHROPIC))


def openai_body(problem: Problem, code: str | None = None) -> dict[str, Any]:
    """Return `problem` as a body with OpenAI's error object."""
    return {
        "error": {
            "message": problem.explain(),
            "type": _OPENAI_TYPES.get(problem.status, "invalid_request_error"),
            "param": problem.field,
            "code": code or problem.code or _CODES.get(problem.status),
        }
    }


def unavailable_body(answer: Answer) -> dict[str, Any]:
    """Return an answer that is `unavailable` as a body with OpenAI's error object."""
    return server_error(answer.result, answer.unavailable)


def server_error(message: str, code: str) -> dict[str, Any]:
    """Return a body with OpenAI's error object for a fault that is not the caller's."""
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


def anthropic_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """Return `problem` as a body with Anthropic's error object, which also has OpenAI's `param` and `code`."""
    sort = _ANTHROPIC_TYPES.get(problem.status, "invalid_request_error")
    message = (_TOO_LONG if problem.code == CONTEXT_LENGTH else "") + problem.explain()
    body = anthropic_error(sort, message, request_id, param=problem.field, code=problem.code)
    if problem.code == NO_THREADS:
        body["error"]["details"] = {"error_code": NO_THREADS}
    return body


def anthropic_error(sort: str, message: str, request_id: str, *, param: str = "", code: str = "") -> dict[str, Any]:
    """Return a body with Anthropic's error object of the type `sort`."""
    beside = {key: value for key, value in (("param", param), ("code", code)) if value}
    return {"type": "error", "error": {"type": sort, "message": message, **beside}, "request_id": request_id}


def problem_response(problem: Problem, request_id: str, path: str, code: str | None = None) -> Response:
    """Return `problem` as a response, in the format of the API that `path` belongs to."""
    if path.startswith(_ANTHROPIC):
        body = anthropic_body(problem, request_id)
    else:
        body = openai_body(problem, code) if speaks_openai(path) else problem.to_body(request_id)
    return json_response(body, problem.status, problem.headers)
