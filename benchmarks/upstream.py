"""An OpenAI-compatible upstream that answers at once: what all gateways are put in front of.

Run it: python -m uvicorn benchmarks.upstream:app --port PORT --no-access-log
"""

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "upstream",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
)


async def chat(request: Request) -> Response:
    """Read the request as any server would, and say hello."""
    orjson.loads(await request.body())
    return Response(_ANSWER, media_type="application/json")


app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
