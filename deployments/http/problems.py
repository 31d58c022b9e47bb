"""Every 4xx: an error object that names the field, and a `result` that is not blank."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from deployments.policy.problem import Problem

REQUEST_ID_HEADER = "x-request-id"


def json_response(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; `result` may be anything a model can return."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def problem_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The same body that the handle and the engine give."""
    return {"error": problem.to_json(), "result": problem.explain(), "request_id": request_id}


def problem_response(problem: Problem, request_id: str) -> Response:
    """`problem` as a response with its status."""
    return json_response(problem_body(problem, request_id), problem.status, problem.headers)
