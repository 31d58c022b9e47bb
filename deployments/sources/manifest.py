"""The manifest of a snapshot: what the snapshot is verified against."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256, Source
from deployments.sources.checkpoint import LoadedModel


class Manifest(Settings):
    """The facts about a snapshot; its fields are those of the JSON file."""

    format: Literal[1] = 1
    sha256: Sha256 = Field(description="The digest of the .pkl file.")
    size: int = Field(gt=0, description="Bytes of the .pkl file.")
    weight_bytes: int = Field(gt=0, description="Bytes of the weights; tied weights count once.")
    source: Source = Field(description="The source it was made from, with all pins.")
    model: str = Field(description="The model's name.")
    origin: str = Field(description="The name of the source in messages.")
    revision: str = Field(description="The exact revision; empty if the source has none.")
    license: str = Field(description="The SPDX name that the source states.")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(description="The dtype of the weights.")
    torch: str = Field(description="The version of torch that wrote it.")
    transformers: str = Field(description="The version of transformers that loaded the source.")
    created: datetime = Field(description="When it was made, in UTC.")


def make_manifest(sha256: str, size: int, weight_bytes: int, source: Source, loaded: LoadedModel) -> Manifest:
    """The manifest of a .pkl file that has just been written.

    Args:
        sha256: the file's digest, in hexadecimal.
        size: the file's bytes.
        weight_bytes: bytes of the weights in it.
        source: the source of the model.
        loaded: the model.

    Raises:
        ValueError: a manifest cannot describe the model, for example one with eight-bit weights.
    """
    import torch
    import transformers

    return Manifest.model_validate(
        {
            "sha256": sha256,
            "size": size,
            "weight_bytes": weight_bytes,
            "source": source,
            "model": loaded.name,
            "origin": loaded.origin,
            "revision": loaded.revision,
            "license": loaded.license,
            "dtype": loaded.dtype,
            "torch": str(torch.__version__),
            "transformers": str(transformers.__version__),
            "created": datetime.now(UTC),
        }
    )
