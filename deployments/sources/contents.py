"""What a snapshot holds, as a dictionary of texts and tensors, and the model made of it again.

format              1
config              transformers' configuration, as JSON
generation_config   the same for generation
tokenizer           file name → text, as transformers saves them
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
from deployments.sources.errors import SnapshotNotKeptError

FORMAT = 1
_KEYS = {"format", "config", "generation_config", "tokenizer", "state_dict"}
_PROBE = "What is it? Ça va, 12 €!\n\tfor (i) { 你好 }"


class ContentsError(ValueError):
    """It is not what a snapshot holds, or no model can be made of it."""


def pack(loaded: LoadedModel) -> dict[str, Any]:
    """The contents of a snapshot of `loaded`; the tensors are the model's own, not copies.

    Raises:
        SnapshotNotKeptError: the model has no plain weights, or the tokenizer files that are not text.
    """
    config = json.loads(loaded.model.config.to_json_string())
    if config.get("quantization_config") or getattr(loaded.model, "hf_quantizer", None):
        raise SnapshotNotKeptError("its weights are quantised; only plain ones are kept")
    # The folder it was read from: of no meaning elsewhere.
    config.pop("_name_or_path", None)
    return {
        "format": FORMAT,
        "config": json.dumps(config),
        "generation_config": loaded.model.generation_config.to_json_string(),
        "tokenizer": _tokenizer_files(loaded.tokenizer),
        "state_dict": _compact(loaded.model.state_dict()),
    }


def weight_bytes(contents: Mapping[str, Any]) -> int:
    """The bytes of all weights, tied ones counted once."""
    return sum(
        {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in contents["state_dict"].values()
        }.values()
    )


def check(contents: Any) -> dict[str, Any]:
    """Return `contents` where they have the shape above.

    Raises:
        ContentsError: they have not.
    """
    import torch

    if not isinstance(contents, dict) or set(contents) != _KEYS or contents["format"] != FORMAT:
        raise ContentsError("it does not have the entries of a snapshot")
    texts = [contents["config"], contents["generation_config"], *contents["tokenizer"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise ContentsError("an entry that is to be a text is none")
    if not all(isinstance(tensor, torch.Tensor) for tensor in contents["state_dict"].values()):
        raise ContentsError("an entry that is to be a tensor is none")
    return contents


@cache
def prepare() -> None:
    """Import what `unpack` needs; once, as what is frozen then is never given back."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: F401 - see above
    from transformers.modeling_utils import PreTrainedModel  # noqa: F401 - every model's class, the longest of all

    # The modules stay. Reading a tokenizer's file sets off collections of garbage, which would look through all of
    # them each time, as would those of serving later on.
    gc.freeze()


def unpack(contents: Mapping[str, Any], dtype: str) -> tuple[Any, Any]:
    """Make the model and its tokenizer again.

    Args:
        contents: what `check` has let pass.
        dtype: of the model's weights; where it is the one they have, the model uses the very tensors given.

    Raises:
        ContentsError: weights are missing, left over or of the wrong shape.
    """
    return _model(contents, dtype), _tokenizer(contents["tokenizer"])


def recast(loaded: LoadedModel, dtype: str) -> LoadedModel:
    """`loaded` with weights of `dtype`; unchanged for `auto`, for its own, and where the weights are quantised."""
    if dtype in ("auto", loaded.dtype):
        return loaded
    try:
        model = _model(pack(loaded), dtype)
    except SnapshotNotKeptError:
        return loaded
    return replace(loaded, model=model, dtype=dtype_name(model))


def require_alike(one: Any, other: Any) -> None:
    """Raise `ContentsError` unless two tokenizers read a difficult text alike and have the same chat template."""
    if one(_PROBE)["input_ids"] != other(_PROBE)["input_ids"] or one.chat_template != other.chat_template:
        raise ContentsError("its tokenizer would read differently")


def _model(contents: Mapping[str, Any], dtype: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.for_model(**json.loads(contents["config"]))
    # The public way to a configuration's class; on the meta device it costs no memory.
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
        raise ContentsError(f"the weights do not fit the model: {faults}")
    model.generation_config = GenerationConfig.from_dict(json.loads(contents["generation_config"]))
    return model.eval()


def _compact(state: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of what is a part of a larger storage: pickled as it is, it would bring all of that along."""
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
                raise ContentsError(f"a tokenizer file wants to be written elsewhere: {name}")
            file = Path(temporary, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return AutoTokenizer.from_pretrained(temporary, trust_remote_code=False, local_files_only=True)
