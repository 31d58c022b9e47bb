"""What a request asks a model to do, in the words of OpenTelemetry's conventions."""

from deployments.request.inference import InferenceRequest


def operation_of(request: InferenceRequest) -> str:
    """Return `embeddings`, `chat` or `text_completion`."""
    if request.vectors:
        return "embeddings"
    return "chat" if request.messages or request.turns else "text_completion"
