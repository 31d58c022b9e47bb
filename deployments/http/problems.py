"""The responses of all 4xx: an error object that names the field, in the format of the API that was called."""

from typing import Any

from starlette.responses import Response

from deployments.http.responses import json_response
from deployments.policy.answer import Answer
from deployments.policy.problem import Problem

NOT_FOUND = 404
_OPENAI = ("/v1/", "/tokenize", "/detokenize")
_NATIVE = "/v1/infer"
_CODES = {404: "not_found", 408: "timeout", 413: "request_too_large", 415: "unsupported_encoding"}


def speaks_openai(path: str) -> bool:
    """Return whether errors at `path` are in OpenAI's form: those of its API, and of what does not exist beside it."""
    return path.startswith(_OPENAI) and not path.startswith(_NATIVE)


def openai_body(problem: Problem, code: str | None = None) -> dict[str, Any]:
    """Return `problem` as a body with OpenAI's error object."""
    return {
        "error": {
            "message": problem.explain(),
            "type": "invalid_request_error",
            "param": problem.field,
            "code": code or problem.code or _CODES.get(problem.status),
        }
    }


def unavailable_body(answer: Answer) -> dict[str, Any]:
    """Return an answer that is `unavailable` as a body with OpenAI's error object."""
    return {
        "error": {"message": answer.result, "type": "server_error", "param": None, "code": answer.unavailable},
    }


def problem_response(problem: Problem, request_id: str, path: str, code: str | None = None) -> Response:
    """Return `problem` as a response, in the format of the API that `path` belongs to."""
    body = openai_body(problem, code) if speaks_openai(path) else problem.to_body(request_id)
    return json_response(body, problem.status, problem.headers)
