"""Models that are a file: pickles, skops files, torch programs and weights."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from deployments.settings.base import ModelId, NonEmpty, Settings
from deployments.settings.serving import ModelServingSpec
from deployments.settings.sources import Sha256

Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""`module:Class`."""

Dtype = Literal["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


class FileSpec(ModelServingSpec):
    """A model that is one file."""

    id: ModelId = Field(description="The model's name, and its Serve application's.")
    path: NonEmpty = Field(
        description="The file; a relative one starts from the project's root. See NEVERBLANK_MODELS."
    )
    sha256: Sha256 | None = Field(
        None, description="The file's digest. What can run code when it is loaded is only loaded with it."
    )
    max_model_size_mb: int = Field(1000, ge=1, description="A larger file is refused; `MAX_MODEL_SIZE_MB` overrides.")

    @property
    def untrusted(self) -> bool:
        """Whatever its form: a reader of files may have faults."""
        return True

    @property
    def runs_code(self) -> bool:
        """Loading it can run code that is in it."""
        raise NotImplementedError


class PickleSpec(FileSpec):
    """`format: pickle`: a pickled or joblib object, or a skops file (`.skops`, which needs no digest)."""

    format: Literal["pickle"]
    method: Literal["auto", "predict", "predict_proba", "transform", "call"] = Field(
        "auto", description="What is called; `auto`: `predict`, else `transform`, else the object itself."
    )
    allow_unsafe_imports: bool = Field(
        False, description="Load it though the scan has found something, or could not read it."
    )

    @property
    def is_skops(self) -> bool:
        """It is a skops file, and no pickle."""
        return self.path.endswith(".skops")

    @property
    def runs_code(self) -> bool:
        """A pickle is a program."""
        return not self.is_skops


class TensorSpec(Settings):
    """The shape and the type that a tensor must have."""

    dtype: Dtype = Field("float32", description="What numbers are made into.")
    shape: tuple[int | None, ...] | None = Field(None, description="Its sizes; null where any will do.")


class PyTorchSpec(FileSpec):
    """`format: pytorch`: a `torch.export` program, TorchScript, or a state dict with the class it belongs to."""

    format: Literal["pytorch"]
    kind: Literal["exported", "torchscript", "state_dict"] = Field(description="What the file is.")
    target: Target | None = Field(None, description="Of a state dict: `module:Class`, importable on every node.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of its constructor.")
    inputs: tuple[TensorSpec, ...] = Field(
        (TensorSpec(),), min_length=1, description="The tensors it takes, in their order."
    )

    @property
    def runs_code(self) -> bool:
        """By torch's own documentation, loading either form of program may."""
        return self.kind != "state_dict"

    @model_validator(mode="after")
    def _a_class_for_a_state_dict(self) -> Self:
        if (self.kind == "state_dict") != (self.target is not None):
            raise ValueError("target: goes with kind: state_dict; accepted: both, or neither")
        return self
