"""GGUF files for OpenVINO: tensors that it does not read correctly are requantised to Q8_0, once, into `cache/gguf/`.

OpenVINO GenAI 2026.4 loses accuracy when it reads Q4_1. Measured: the number of tokens for which ten greedy answers of
SmolLM2-135M agree with those of transformers in float32, on average.

    Q4_1, as OpenVINO reads it                       2.0
    the same weights as Q8_0, bfloat16 / float32    11.6 / 18.4
    the same weights as F16, float32                19.5, which is all of them
    transformers in bfloat16                        16.7

So tensors in a type outside `SUPPORTED_TYPES` are converted to Q8_0 with ggml's Python library. Such a file is half
again as large as one in Q4_1, and no slower.

    <key>.json    the record of a file: its context, and the digest of its conversion if it needed one
    <key>.gguf    the conversion

The key is a hash of the file's path, size and modification time.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256
from deployments.sources.errors import SourceError, describe_error, refuse_over
from deployments.sources.gguf_writing import ARCHITECTURES, NotConvertibleError
from deployments.sources.locks import node_lock

SUPPORTED_TYPES = frozenset({"F32", "F16", "BF16", "Q8_0"})
"""Tensor types that OpenVINO was measured to read correctly."""


@dataclass(frozen=True, slots=True)
class OpenVINOModel:
    """A model that OpenVINO reads correctly.

    Attributes:
        path: a GGUF file, or the folder of a model in OpenVINO's IR format.
        context: the model's context, in tokens.
    """

    path: Path
    context: int


class _Record(Settings):
    """The record of a GGUF file."""

    context: int
    converted: bool
    sha256: Sha256 | None = None
    architecture: str = ""


def prepare_gguf(file: Path, cache: Path, limit: int) -> OpenVINOModel:
    """`file` itself, or its conversion if it needs one. Blocks for seconds if the cache does not have it yet.

    Args:
        file: a GGUF file.
        cache: the cache's folder.
        limit: the most bytes of weights.

    Raises:
        ModelTooLargeError: the conversion is over the limit; it is not kept.
        NotConvertibleError: OpenVINO does not read models of its architecture; nothing is converted.
        SourceError: the file cannot be read, or the cache cannot be written to.
    """
    try:
        record_path, conversion = cache_paths(file, cache)
        record_path.parent.mkdir(parents=True, exist_ok=True)
        with node_lock(record_path.with_suffix(".lock")):
            record = _read_record(record_path, conversion) or _convert(file, record_path, conversion, limit)
    except (OSError, NotImplementedError) as error:
        raise SourceError(f"the cache of GGUF files cannot be used: {describe_error(error)}") from error
    if not _is_read(record.architecture):
        accepted = ", ".join(sorted(ARCHITECTURES))
        raise NotConvertibleError(f"GGUF files of {record.architecture} are not read (accepted: {accepted})")
    return OpenVINOModel(conversion if record.converted else file, record.context)


def prepared_size(file: Path, cache: Path) -> int:
    """The bytes of the conversion of `file` if the cache has one, else of the file."""
    _, conversion = cache_paths(file, cache)
    return (conversion if conversion.exists() else file).stat().st_size


def cache_paths(file: Path, cache: Path) -> tuple[Path, Path]:
    """The paths of the record of `file` and of its conversion."""
    stat = file.stat()
    key = hashlib.sha256(f"{file.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    return cache / "gguf" / f"{key}.json", cache / "gguf" / f"{key}.gguf"


def _read_record(path: Path, conversion: Path) -> _Record | None:
    """The record, if there is one and the conversion is intact."""
    try:
        record = _Record.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    intact = not record.converted or (conversion.is_file() and _digest(conversion) == record.sha256)
    return record if intact else None


def _convert(file: Path, record_path: Path, conversion: Path, limit: int) -> _Record:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        architecture = reader.fields["general.architecture"].contents()
        context = int(reader.fields[f"{architecture}.context_length"].contents())
        record = _Record(context=context, converted=False, architecture=str(architecture))
        if _is_read(record.architecture) and any(
            tensor.tensor_type.name not in SUPPORTED_TYPES for tensor in reader.tensors
        ):
            new = conversion.with_suffix(".new")
            try:
                _write(reader, str(architecture), new)
                refuse_over(limit, new.stat().st_size)
                record = record.model_copy(update={"converted": True, "sha256": _digest(new)})
                new.replace(conversion)
            finally:
                with suppress(OSError):
                    new.unlink(missing_ok=True)
    except (
        KeyError,
        ValueError,
        IndexError,
        NotImplementedError,
    ) as error:  # what the library raises for a damaged file
        raise SourceError(f"{file.name} cannot be read: {describe_error(error)}") from error
    new_record = record_path.with_suffix(".json.new")
    new_record.write_text(record.model_dump_json(), encoding="utf-8")
    new_record.replace(record_path)
    return record


def _is_read(architecture: str) -> bool:
    """Whether OpenVINO reads files of that architecture; it did read those of records that do not name one."""
    return not architecture or architecture in ARCHITECTURES


def _write(reader: Any, architecture: str, target: Path) -> None:
    """Copy the file, with every tensor outside `SUPPORTED_TYPES` requantised to Q8_0."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, LlamaFileType, quants

    wanted = GGMLQuantizationType.Q8_0
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":  # the writer adds these itself
            continue
        kind = field.types[0]
        value = int(LlamaFileType.MOSTLY_Q8_0) if name == "general.file_type" else field.contents()
        writer.add_key_value(name, value, kind, sub_type=field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        kind = tensor.tensor_type
        if kind.name in SUPPORTED_TYPES:
            plain = kind.name in {"F32", "F16"}
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=None if plain else kind)
        else:
            values = quants.dequantize(tensor.data, kind).astype(np.float32)
            writer.add_tensor(tensor.name, quants.quantize(values, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
