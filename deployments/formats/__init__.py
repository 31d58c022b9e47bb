"""The formats of models: how each is loaded and called inside a replica. One module a format, one class each.

May import: policy, request, settings, observability, execution, generation, sources, servers.

A module is imported when a model of its format is loaded: a `python` model's replica never loads torch.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from deployments.execution.attempt import Begun
from deployments.formats.credentials import remove_credentials
from deployments.policy.outcome import Outcome
from deployments.policy.reason import loading_for
from deployments.request import InferenceRequest
from deployments.request.tokens import TokensRequest
from deployments.settings import HuggingFaceSpec, ModelSpec, PickleSpec, PythonSpec, PyTorchSpec, ServerSpec


class ServedModel(Protocol):
    """A loaded model."""

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Answer `request` within `budget_s` seconds; see `execution.attempt.ModelClient`.

        Raises whatever the model's own code raises. Cancelling this stops the work of a language model and of
        asynchronous code. Code that blocks a thread cannot be interrupted: it goes on, and its result is dropped.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `/status`, such as the device."""
        ...

    def stalled_s(self) -> float:
        """Seconds for which work has been under way and none of it has advanced; 0 where there is no work.

        A stream that waits for its reader is no work. See `generation.progress`.
        """
        ...


@runtime_checkable
class Tokenizing(Protocol):
    """A loaded model with a tokenizer that can be asked."""

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Answer `asked` with the keys of vLLM's `/tokenize` or `/detokenize`; `Rejected` where it cannot be."""
        ...


class LoadProgress:
    """What a load is doing, for whoever asks meanwhile.

    Attributes:
        tell: returns it in a line; a load that can say more than that it goes on puts its own in this place.
        last_line: returns the last line that a program has written which is part of the load, for operators.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin now, by `clock`, in seconds since any moment."""
        began = clock()
        self.tell: Callable[[], str] = lambda: loading_for(clock() - began)
        self.last_line: Callable[[], str] = lambda: ""


def load_model(spec: ModelSpec, cache: Path, progress: LoadProgress | None = None) -> ServedModel:
    """Load the model of `spec`. Blocks until the model is there, and raises whatever its loading raises.

    Args:
        spec: what to load.
        cache: the project's cache folder on this node.
        progress: is told what is being done.
    """
    if spec.untrusted:
        remove_credentials()
    match spec:
        case PythonSpec():
            from deployments.formats.python import PythonModel

            return PythonModel.load(spec)
        case HuggingFaceSpec() if spec.task == "feature-extraction":
            from deployments.formats.embedding import EmbeddingModel

            return EmbeddingModel.load(spec, cache)
        case HuggingFaceSpec() if spec.task == "text-ranking":
            from deployments.formats.scoring import ScoringModel

            return ScoringModel.load(spec, cache)
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
        case ServerSpec():
            from deployments.servers.model import ServerModel

            return ServerModel.load(spec, cache, progress or LoadProgress())
