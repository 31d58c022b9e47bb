"""The files of a model on this node, and loading them with transformers.

Weights are safetensors or GGUF, never pickles. Code in a checkpoint runs only if the spec allows it and pins a commit.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.sources.errors import SourceError, describe_error

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
"""The weight files that transformers loads; other weight files are neither fetched nor counted."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files of a model on this node.

    Attributes:
        folder: where they are.
        gguf: the name of the GGUF file in `folder` that holds everything; `None` for safetensors.
        parts: the names of all files of a GGUF model in parts, of which `gguf` is the first; see `gguf_parts`.
        name: the model's name.
        origin: the `source_name` of the source they came from.
        revision: the exact commit or version; empty if the source has none.
        license: the SPDX name that the source states; empty if it states none.
    """

    folder: Path
    gguf: str | None
    name: str
    origin: str
    revision: str
    license: str
    parts: tuple[str, ...] = ()

    def size(self) -> int:
        """The bytes of the weight files. Raises `OSError` if they cannot be read."""
        if self.gguf is None:
            return weight_size(self.folder)
        return sum((self.folder / name).stat().st_size for name in self.parts or (self.gguf,))


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, on the CPU, in evaluation mode.

    Attributes:
        model: a `PreTrainedModel` of the class for its task.
        tokenizer: its tokenizer.
        name: the model's name.
        origin: the `source_name` of the source it came from, even if it was loaded from a snapshot.
        revision: the exact commit or version; empty if the source has none.
        license: the SPDX name that the source stated; empty if it stated none.
        dtype: the dtype of the weights, such as `bfloat16`.
        snapshot: the name of the snapshot that the weights are mapped from; empty if they are not.
        folder: the folder of its files; empty (the current one) if it was loaded from a snapshot.
    """

    model: Any
    tokenizer: Any
    name: str
    origin: str
    revision: str
    license: str
    dtype: str
    snapshot: str = ""
    folder: Path = Path()


def source_name(source: Source) -> str:
    """The name of a source in messages and manifests."""
    match source:
        case HubSource():
            return f"hub {source.repo}@{source.revision}"
        case WheelSource():
            return f"wheel {source.package} {source.version}"
        case PathSource():
            return f"path {source.path}"


def weight_files(names: Iterable[str]) -> list[str]:
    """The names among `names` that are weight files."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in WEIGHTS)]


def weight_size(folder: Path) -> int:
    """The bytes of the weight files in `folder`. Raises `OSError` if it cannot be read."""
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
    "text-ranking": "AutoModelForSequenceClassification",
    "text2text-generation": "AutoModelForSeq2SeqLM",
}
"""The class of transformers that loads the weights for each task."""

SCORES_BY_LOGITS = "LogitScore"
"""The step in `modules.json` with which sentence-transformers reads a score from a language model's logits."""


def load_checkpoint(
    checkpoint: Checkpoint, dtype: str, task: str = "text-generation", *, runs_code: bool = False
) -> LoadedModel:
    """Load a checkpoint into the CPU's memory.

    Args:
        checkpoint: the files.
        dtype: `bfloat16`, `float16` or `float32`; `auto` keeps that of the weights, and is bfloat16 for the quantised
            weights of a GGUF file.
        task: one of `AUTO_CLASSES`.
        runs_code: run the code that comes with the checkpoint.

    Raises:
        SourceError: transformers cannot load the files.
    """
    import transformers
    from transformers import AutoTokenizer, GgufConfig

    local: dict[str, Any] = {"trust_remote_code": runs_code, "local_files_only": True}
    weights: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if checkpoint.gguf is not None:
        local["gguf_file"] = checkpoint.gguf
        weights["dtype"] = "bfloat16" if dtype == "auto" else dtype
        # Otherwise transformers may keep the quantised blocks, for kernels that not every node has.
        weights["quantization_config"] = GgufConfig(dequantize=True)
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, **local)
        scores_by_logits = task == "text-ranking" and SCORES_BY_LOGITS in steps_behind(checkpoint.folder)
        auto_class: Any = getattr(transformers, AUTO_CLASSES["text-generation" if scores_by_logits else task])
        model, report = auto_class.from_pretrained(checkpoint.folder, **local, **weights, output_loading_info=True)
    except Exception as error:
        raise SourceError(f"cannot be read: {describe_error(error)}") from error
    if checkpoint.gguf is None:
        _require_all_weights(type(model).__name__, report["missing_keys"], task)
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        name=checkpoint.name,
        origin=checkpoint.origin,
        revision=checkpoint.revision,
        license=checkpoint.license,
        dtype=dtype_name(model),
        folder=checkpoint.folder,
    )


def steps_behind(folder: Path) -> dict[str, Path]:
    """Return the folders of the steps that sentence-transformers has behind the model itself, by their kinds.

    Raises:
        OSError: `modules.json` is there and cannot be read.
        ValueError: it is no JSON.
        KeyError, TypeError, AttributeError: it is no list of steps with a `type` and a `path`.
    """
    file = folder / "modules.json"
    steps = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    kinds = ((step["type"].rpartition(".")[2], folder / step["path"]) for step in steps)
    return {kind: place for kind, place in kinds if kind != "Transformer"}


def _require_all_weights(kind: str, missing: Iterable[str], task: str) -> None:
    """Raise `SourceError` for weights that no file has: transformers makes them up, and the model answers at random.

    Many files of models that make vectors lack a pooler, which those do without here.
    """
    spared = task == "feature-extraction"
    lacking = sorted(name for name in missing if not (spared and "pooler" in name.split(".")))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise SourceError(f"it lacks {lacking[0]}{more}, without which a {kind} answers at random")
