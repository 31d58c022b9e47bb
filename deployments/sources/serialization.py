"""The contents of a snapshot: a model and its tokenizer as a dictionary of texts and tensors, and back.

format              1
config              the model's configuration, as JSON
generation_config   its generation configuration, as JSON
tokenizer           file name → text, as transformers saves the tokenizer
state_dict          name → tensor; tied weights share one storage
"""

import gc
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from deployments.sources.checkpoint import LoadedModel, dtype_name
from deployments.sources.errors import CorruptSnapshotError, SnapshotNotKeptError

FORMAT = 1
_KEYS = {"format", "config", "generation_config", "tokenizer", "state_dict"}
_PROBE = "What is it? Ça va, 12 €!\n\tfor (i) { 你好 }"


def serialize(loaded: LoadedModel) -> dict[str, Any]:
    """The contents of a snapshot of `loaded`; the tensors are those of the model, not copies.

    Raises:
        SnapshotNotKeptError: the weights are quantised, or the tokenizer has files that are not text.
    """
    config = json.loads(loaded.model.config.to_json_string())
    if config.get("quantization_config") or getattr(loaded.model, "hf_quantizer", None):
        raise SnapshotNotKeptError("its weights are quantised; only plain ones are kept")
    # The folder it was loaded from, which means nothing elsewhere.
    config.pop("_name_or_path", None)
    return {
        "format": FORMAT,
        "config": json.dumps(config),
        "generation_config": loaded.model.generation_config.to_json_string(),
        "tokenizer": _tokenizer_files(loaded.tokenizer),
        "state_dict": _compact(loaded.model.state_dict()),
    }


def weight_bytes(contents: Mapping[str, Any]) -> int:
    """The bytes of all weights; tied weights count once."""
    return sum(
        {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in contents["state_dict"].values()
        }.values()
    )


def validate_contents(contents: Any) -> dict[str, Any]:
    """Return `contents` if they have the entries and types in the table above.

    Raises:
        CorruptSnapshotError: they do not.
    """
    import torch

    if not isinstance(contents, dict) or set(contents) != _KEYS or contents["format"] != FORMAT:
        raise CorruptSnapshotError("it does not have the entries of a snapshot")
    texts = [contents["config"], contents["generation_config"], *contents["tokenizer"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise CorruptSnapshotError("an entry that should be a text is not one")
    if not all(isinstance(tensor, torch.Tensor) for tensor in contents["state_dict"].values()):
        raise CorruptSnapshotError("an entry that should be a tensor is not one")
    return contents


@cache
def import_transformers() -> None:
    """Import what `deserialize` needs. Only once: `gc.freeze` keeps what exists at that moment for ever."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: F401 - imported ahead
    from transformers.modeling_utils import PreTrainedModel  # noqa: F401 - the base of every model, the slowest import

    # Loading a tokenizer, and serving later, set off garbage collections. Those would scan all objects of the modules
    # each time, and never find any garbage among them.
    gc.freeze()


def deserialize(contents: Mapping[str, Any], dtype: str) -> tuple[Any, Any]:
    """The model and the tokenizer.

    Args:
        contents: validated by `validate_contents`.
        dtype: the dtype of the model's weights; if the tensors have it, the model uses them without a copy.

    Raises:
        CorruptSnapshotError: weights are missing, unexpected or of the wrong shape.
    """
    return _model(contents, dtype), _tokenizer(contents["tokenizer"])


def cast_weights(loaded: LoadedModel, dtype: str) -> LoadedModel:
    """`loaded` with weights of `dtype`; unchanged if that is `auto`, or if the weights have it or are quantised."""
    if dtype in ("auto", loaded.dtype):
        return loaded
    try:
        model = _model(serialize(loaded), dtype)
    except SnapshotNotKeptError:
        return loaded
    return replace(loaded, model=model, dtype=dtype_name(model))


def require_same_tokenizer(one: Any, other: Any) -> None:
    """Raise `CorruptSnapshotError` unless two tokenizers encode a difficult text alike and have the same template."""
    if one(_PROBE)["input_ids"] != other(_PROBE)["input_ids"] or one.chat_template != other.chat_template:
        raise CorruptSnapshotError("its tokenizer encodes differently")


def _model(contents: Mapping[str, Any], dtype: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.for_model(**json.loads(contents["config"]))
    # This is the public way to find the class for a configuration; the meta device needs no memory.
    with torch.device("meta"):
        kind = type(AutoModelForCausalLM.from_config(config, trust_remote_code=False))
    model, report = kind.from_pretrained(
        None,
        config=config,
        state_dict=dict(contents["state_dict"]),
        dtype=getattr(torch, dtype),
        output_loading_info=True,
    )
    faults = {what: sorted(map(str, names)) for what, names in report.items() if names}
    if faults:
        raise CorruptSnapshotError(f"the weights do not fit the model: {faults}")
    model.generation_config = GenerationConfig.from_dict(json.loads(contents["generation_config"]))
    return model.eval()


def _compact(state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` with copies of tensors that are part of a larger storage: pickling those would save the whole storage."""
    copies: dict[Any, Any] = {}
    compact = {}
    for name, tensor in state.items():
        whole = tensor.detach()
        if whole.untyped_storage().nbytes() != whole.nbytes:
            key = (whole.data_ptr(), whole.shape, whole.stride(), whole.dtype)
            whole = copies.setdefault(key, whole.clone())
        compact[name] = whole
    return compact


def _tokenizer_files(tokenizer: Any) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="neverblank-") as temporary:
        folder = Path(temporary)
        tokenizer.save_pretrained(folder)
        try:
            return {
                file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
                for file in sorted(folder.rglob("*"))
                if file.is_file()
            }
        except UnicodeDecodeError as error:
            raise SnapshotNotKeptError("its tokenizer has files that are not text") from error


def _tokenizer(files: Mapping[str, str]) -> Any:
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory(prefix="neverblank-") as temporary:
        for name, text in files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise CorruptSnapshotError(f"a tokenizer file would be written elsewhere: {name}")
            file = Path(temporary, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return AutoTokenizer.from_pretrained(temporary, trust_remote_code=False, local_files_only=True)
