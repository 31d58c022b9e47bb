"""The manifest beside a snapshot: what vouches for it."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256, Source
from deployments.sources.checkpoint import LoadedModel


class Manifest(Settings):
    """What is known of a snapshot; the names of its fields are those of the JSON file."""

    format: Literal[1] = 1
    sha256: Sha256 = Field(description="Of the .pkl file.")
    size: int = Field(gt=0, description="Bytes of the .pkl file.")
    weight_bytes: int = Field(gt=0, description="Bytes of the weights in it, tied ones counted once.")
    source: Source = Field(description="The source it was made from, with everything that was pinned.")
    model: str = Field(description="The model's name.")
    origin: str = Field(description="The source, as messages name it.")
    revision: str = Field(description="The exact revision; empty where the source has none.")
    license: str = Field(description="The SPDX name, as the source tells it.")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(description="Of the weights.")
    torch: str = Field(description="The version that wrote it.")
    transformers: str = Field(description="The version that had read the source.")
    created: datetime = Field(description="When, in UTC.")


def vouch(sha256: str, size: int, weight_bytes: int, source: Source, loaded: LoadedModel) -> Manifest:
    """A manifest for a file that was just written.

    Args:
        sha256: the file's digest, in hexadecimal.
        size: the file's bytes.
        weight_bytes: bytes of the weights in it.
        source: where the model came from.
        loaded: the model.

    Raises:
        ValueError: the model is not one that a manifest can describe, such as one of eight-bit weights.
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
