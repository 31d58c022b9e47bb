"""GGUF files in a form that OpenVINO reads faithfully, converted once and kept in `cache/gguf/`.

OpenVINO GenAI 2026.4 reads Q4_1 as a poorer model than it is. Ten greedy answers of SmolLM2-135M agreed with those of
transformers in float32 for 2.0 tokens on average; transformers' own in bfloat16 do for 16.7, the same weights as Q8_0
for 11.6 in bfloat16 and 18.4 in float32, as F16 in float32 for 19.5, which is all of them. So what is in another form
than these is made into Q8_0, by ggml's own library: half again as large as Q4_1, and no slower.

    <key>.json    what is known of a file: its context, and the digest of its conversion where it needed one
    <key>.gguf    the conversion

The key stands for the file's path, size and time: of one that changes nothing is known.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256
from deployments.sources.errors import SourceError, refuse_over, said_by

FAITHFUL = frozenset({"F32", "F16", "BF16", "Q8_0"})
"""Forms of tensors that OpenVINO was seen to read as they are."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A GGUF file that OpenVINO reads faithfully.

    Attributes:
        file: the file, or its conversion.
        context: tokens the model was made for.
    """

    file: Path
    context: int


class _Known(Settings):
    """What is known of a file."""

    context: int
    converted: bool
    sha256: Sha256 | None = None


def make_readable(file: Path, cache: Path, limit: int) -> Readable:
    """`file` itself or its conversion, from the cache where it is there. Blocks for seconds where it is not.

    Args:
        file: a GGUF file.
        cache: the cache's folder.
        limit: bytes of weights, at most.

    Raises:
        ModelTooLargeError: the conversion is over the limit; it is not kept.
        SourceError: the file cannot be read, or the cache not be written to.
    """
    try:
        record, conversion = places(file, cache)
        record.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(record.with_suffix(".lock"), fallback_to_soft=False):
            known = _known(record, conversion) or _convert(file, record, conversion, limit)
    except (OSError, NotImplementedError) as error:
        raise SourceError(f"the cache of GGUF files cannot be used: {said_by(error)}") from error
    return Readable(conversion if known.converted else file, known.context)


def readable_size(file: Path, cache: Path) -> int:
    """The bytes of what would be read: of the conversion of `file` where there is one, else its own."""
    _, conversion = places(file, cache)
    return (conversion if conversion.exists() else file).stat().st_size


def places(file: Path, cache: Path) -> tuple[Path, Path]:
    """Of what is known of `file`, and of its conversion."""
    stat = file.stat()
    key = hashlib.sha256(f"{file.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    return cache / "gguf" / f"{key}.json", cache / "gguf" / f"{key}.gguf"


def _known(record: Path, conversion: Path) -> _Known | None:
    try:
        known = _Known.model_validate_json(record.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    sound = not known.converted or (conversion.is_file() and _digest(conversion) == known.sha256)
    return known if sound else None


def _convert(file: Path, record: Path, conversion: Path, limit: int) -> _Known:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        architecture = reader.fields["general.architecture"].contents()
        context = int(reader.fields[f"{architecture}.context_length"].contents())
        known = _Known(context=context, converted=False)
        if any(tensor.tensor_type.name not in FAITHFUL for tensor in reader.tensors):
            new = conversion.with_suffix(".new")
            try:
                _write(reader, str(architecture), new)
                refuse_over(limit, new.stat().st_size)
                known = _Known(context=context, converted=True, sha256=_digest(new))
                new.replace(conversion)
            finally:
                with suppress(OSError):
                    new.unlink(missing_ok=True)
    except (KeyError, ValueError, IndexError, NotImplementedError) as error:  # what the library says of a damaged file
        raise SourceError(f"{file.name} cannot be read: {said_by(error)}") from error
    written = record.with_suffix(".json.new")
    written.write_text(known.model_dump_json(), encoding="utf-8")
    written.replace(record)
    return known


def _write(reader: Any, architecture: str, target: Path) -> None:
    """The same file with every tensor that OpenVINO does not read faithfully as Q8_0."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, LlamaFileType, quants

    wanted = GGMLQuantizationType.Q8_0
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":  # the writer's own
            continue
        kind = field.types[0]
        value = int(LlamaFileType.MOSTLY_Q8_0) if name == "general.file_type" else field.contents()
        writer.add_key_value(name, value, kind, sub_type=field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        kind = tensor.tensor_type
        if kind.name in FAITHFUL:
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
