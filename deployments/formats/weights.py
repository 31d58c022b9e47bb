"""The weights of a model in transformers' format, on the device that its spec asks for."""

from pathlib import Path

from deployments.generation.devices import Machine, choose_device, choose_dtype, configure_torch
from deployments.observability import log
from deployments.settings import HuggingFaceSpec
from deployments.sources import acquire
from deployments.sources.checkpoint import LoadedModel


def load_weights(spec: HuggingFaceSpec, cache: Path) -> LoadedModel:
    """Load the weights from the first source that has them, and bring them to their device.

    Raises:
        sources.NoSourceError: no source has them.
        RuntimeError: a GPU is demanded and there is none.
    """
    machine = Machine.here()
    device = choose_device(spec.device, machine)
    configure_torch(device, spec.threads)
    loaded = acquire(spec, cache, choose_dtype(spec.dtype, device, machine), events=log.SourceEvents())
    loaded.model.to(device)
    return loaded
