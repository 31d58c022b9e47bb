"""How a model is loaded and called inside a replica: one module a format, one class each with `start`.

May import: policy, request, settings, observability, execution, generation, sources.

Modules are imported when a model of their format is loaded: a `python` model's replica never loads torch.
"""

from pathlib import Path
from typing import Any, Protocol

from deployments.execution.attempt import Begun
from deployments.formats.credentials import forget
from deployments.policy.outcome import Outcome
from deployments.request import InferenceRequest
from deployments.settings import HuggingFaceSpec, ModelSpec, PickleSpec, PythonSpec, PyTorchSpec


class ServedModel(Protocol):
    """A loaded model."""

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Answer `request` within `budget_s` seconds; see `execution.attempt.ModelClient`.

        Whatever the model's own code raises may be raised. Cancelling this stops the work.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`, such as the device."""
        ...


def load_model(spec: ModelSpec, cache: Path) -> ServedModel:
    """Load the model of `spec`; blocks, and raises whatever its loading raises.

    Args:
        spec: what to load.
        cache: the project's cache folder on this node.
    """
    if spec.untrusted:
        forget()
    match spec:
        case PythonSpec():
            from deployments.formats.python import PythonModel

            return PythonModel.load(spec)
        case HuggingFaceSpec() if spec.task != "text-generation":
            from deployments.formats.tasks import load_task

            return load_task(spec, cache)
        case HuggingFaceSpec():
            from deployments.formats.huggingface import HuggingFaceModel

            return HuggingFaceModel.load(spec, cache, name=spec.id)
        case PickleSpec():
            from deployments.formats.pickled import load_pickle

            return load_pickle(spec)
        case PyTorchSpec():
            from deployments.formats.pytorch import load_pytorch

            return load_pytorch(spec)
