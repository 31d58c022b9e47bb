"""Neverblank: an inference service on Ray Serve that always answers.

`InferenceEngine` is imported on first use: a replica that only serves a model never loads it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployments.client.engine import InferenceEngine

__all__ = ["InferenceEngine"]


def __getattr__(name: str) -> Any:
    """Resolve the public names lazily (PEP 562)."""
    if name == "InferenceEngine":
        from deployments.client.engine import InferenceEngine

        return InferenceEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
