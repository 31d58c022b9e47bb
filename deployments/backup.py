"""The replica of the backup: a language model that answers for all others."""

from pathlib import Path

from deployments.formats import ServedModel
from deployments.model import SingleReplica
from deployments.settings import BackupSpec


class BackupReplica(SingleReplica):
    """Answers any request: one for a model that is no language model is read by `InferenceRequest.text`."""

    def __init__(self, spec: BackupSpec, cache: str) -> None:
        """Start to load the model of `spec`; `cache` is the cache folder's absolute path on this node."""
        super().__init__(spec.name, lambda: _load(spec, Path(cache)), spec.load_timeout_seconds)


def _load(spec: BackupSpec, cache: Path) -> ServedModel:
    from deployments.formats.huggingface import HuggingFaceModel

    return HuggingFaceModel.load(spec, cache, name=spec.name)
