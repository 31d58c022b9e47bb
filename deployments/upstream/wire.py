"""OpenAI's chat format, as upstreams speak it: bodies of requests."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.request import InferenceRequest
from deployments.request.inference import ANY_FORMAT
from deployments.settings.remotes import RemoteSpec


def to_body(request: InferenceRequest, spec: RemoteSpec, *, stream: bool) -> dict[str, Any]:
    """Return the body of `POST chat/completions` for `request`.

    A text is sent as a single user turn. Parameters that the caller has not set are left out. Fields that are only
    passed on go beside them; none of them replaces a field that is set here.
    """
    response_format = request.response_format
    turns: Sequence[Mapping[str, Any]] = request.turns or request.messages
    body: dict[str, Any] = {
        **request.passthrough,
        "model": spec.model,
        "messages": [*turns] or [{"role": "user", "content": request.text}],
    }
    sampling = request.parameters.sent()
    if (max_tokens := sampling.pop("max_tokens", None)) is not None:
        sampling[spec.max_tokens_field] = max_tokens
    body |= sampling
    if request.user:
        body["user"] = request.user
    if response_format != ANY_FORMAT:
        optional = {
            "response_format": response_format.constraint,
            "tools": response_format.tools,
            "tool_choice": response_format.tool_choice,
            "parallel_tool_calls": response_format.parallel_tool_calls,
        }
        # An empty list, object or text means that the caller did not set the key; False is a value.
        body |= {key: value for key, value in optional.items() if value is not None and value not in ((), {}, "")}
    if stream:
        options = request.passthrough.get("stream_options", {})
        body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
    if request.prefix:
        body["messages"].append({**request.prefix_turn, "role": "assistant", "content": request.prefix})
        if spec.prefill == "continue":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body
