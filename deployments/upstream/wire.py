"""OpenAI's formats, as upstreams speak them: bodies of requests, and where these are sent to."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.request import InferenceRequest
from deployments.request.inference import ANY_FORMAT
from deployments.request.passing import OF_TEXTS
from deployments.settings.remotes import RemoteSpec
from deployments.upstream.family import Written, form_elsewhere
from deployments.upstream.scores import to_scores_body
from deployments.upstream.text_form import is_sent_as_text, raw_prompt, text_fields
from deployments.upstream.vectors import VECTORS, to_vectors_body

CHATS, TEXTS = "chat/completions", "completions"
"""The paths of the two formats, behind where an API begins."""


def write_chat(request: InferenceRequest, spec: RemoteSpec, *, stream: bool) -> Written:
    """Return the `POST` for `request`.

    A text is sent as a single user turn, unless it is a text completion and the upstream takes those. Parameters that
    the caller has not set are left out. Fields that are only passed on go beside them; none of them replaces a field
    that is set here.
    """
    if spec.task == "feature-extraction":
        return Written(VECTORS, to_vectors_body(request, spec))
    if spec.task == "text-ranking":
        return Written(*to_scores_body(request, spec))
    if is_sent_as_text(request, spec):
        body = {**text_fields(request), "model": spec.model, "prompt": raw_prompt(request), **request.parameters.sent()}
        body |= {"user": request.user} if request.user else {}
        return Written(TEXTS, body | (_streaming(request) if stream else {}))
    return Written(CHATS, _chat(request, spec) | (_streaming(request) if stream else {}))


def _streaming(request: InferenceRequest) -> dict[str, Any]:
    options = request.passthrough.get("stream_options", {})
    return {"stream": True, "stream_options": {**options, "include_usage": True}}


def _chat(request: InferenceRequest, spec: RemoteSpec) -> dict[str, Any]:
    response_format = form_elsewhere(request) if request.sent.api else request.response_format
    turns: Sequence[Mapping[str, Any]] = request.turns or request.messages
    body: dict[str, Any] = {
        **{key: value for key, value in request.passthrough.items() if not (request.raw and key in OF_TEXTS)},
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
    if request.prefix:
        body["messages"].append({**request.prefix_turn, "role": "assistant", "content": request.prefix})
        if spec.prefill == "continue":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body
