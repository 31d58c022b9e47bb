"""Models in several GGUF files, as llama.cpp's `gguf-split` writes them: `name-00001-of-00003.gguf`.

The first part has the metadata, and each has some of the tensors. Neither OpenVINO nor transformers reads such files,
so they are merged into one, as `llama-gguf-split --merge` does, into `cache/gguf/`. Tensors are copied one at a time
from mapped files, so memory does not grow with the model.

    <name>-<place>-<state>.merged.gguf    one file
    <name>-<place>-<state>.merged.json    its size and digest

`place` is a hash of the paths of the parts, `state` one of their sizes and times. What was made of earlier parts in the
same place is removed.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256
from deployments.sources.checkpoint import Checkpoint
from deployments.sources.errors import SourceError, describe_error
from deployments.sources.locks import node_lock

MOST_PARTS = 1000

_PART = re.compile(r"(?P<set>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_SPLIT = "split."
_SHOWN = 5


class _Record(Settings):
    """The record of a merged file."""

    size: int
    sha256: Sha256


def model_of(name: str) -> str:
    """Return what the files of one model have in common; that of a file that is no part is its name."""
    part = _PART.fullmatch(name)
    return f"{part['set']} in {part['count']}" if part else name


def parts_of(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return all parts of the model that the file `name` is a part of, in order; nothing for a file that is no part.

    Args:
        name: the file.
        names: all files there are, paths of the same kind.

    Raises:
        SourceError: one of the parts is missing.
    """
    part = _PART.fullmatch(name)
    if part is None:
        return ()
    found = {int(other["number"]): other[0] for other in map(_PART.fullmatch, names) if other and _same(other, part)}
    count = int(part["count"])
    missing = [number for number in range(1, min(count, MOST_PARTS) + 1) if number not in found]
    if missing or not 0 < count <= MOST_PARTS:
        lacks = ", ".join(map(str, missing[:_SHOWN])) + ("…" if len(missing) > _SHOWN else "")
        accepted = f"accepted: all of 1 to {count}, at most {MOST_PARTS}"
        raise SourceError(
            f"the model {PurePosixPath(part['set']).name} is in {count} parts and lacks {lacks or 'all'} ({accepted})"
        )
    return tuple(found[number] for number in range(1, count + 1))


def pattern_of(name: str) -> str:
    """Return a pattern that matches all parts of the model that `name` is a part of, as `fnmatch` has them."""
    part = _PART.fullmatch(name)
    return f"{part['set']}-?????-of-{part['count']}.gguf" if part else name


def merged(checkpoint: Checkpoint, cache: Path) -> Checkpoint:
    """Return `checkpoint` with its parts in one file. Blocks for as long as copying takes, once.

    Raises:
        SourceError: a part cannot be read or does not belong to the others, or the cache cannot be written to.
    """
    if not checkpoint.parts:
        return checkpoint
    try:
        files = [(checkpoint.folder / name).resolve(strict=True) for name in checkpoint.parts]
        target = _place(checkpoint.parts[0], files, cache / "gguf")
        target.parent.mkdir(parents=True, exist_ok=True)
        with node_lock(target.with_suffix(".lock")):
            if not _is_intact(target):
                _merge(files, target)
    except (OSError, NotImplementedError) as error:
        raise SourceError(f"its parts cannot be merged: {describe_error(error)}") from error
    return replace(checkpoint, folder=target.parent, gguf=target.name, parts=())


def _same(other: re.Match[str], part: re.Match[str]) -> bool:
    return (other["set"], other["count"]) == (part["set"], part["count"])


def _place(name: str, files: Sequence[Path], folder: Path) -> Path:
    stats = [file.stat() for file in files]
    place = _hash("\n".join(map(str, files)))
    state = _hash("\n".join(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats))
    part = _PART.fullmatch(Path(name).name)
    return folder / f"{part['set'] if part else name}-{place}-{state}.merged.gguf"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _is_intact(target: Path) -> bool:
    try:
        record = _Record.model_validate_json(target.with_suffix(".json").read_bytes())
        return target.stat().st_size == record.size and _digest(target) == record.sha256
    except (FileNotFoundError, ValidationError):
        return False


def _merge(files: Sequence[Path], target: Path) -> None:
    new = target.with_suffix(".new")
    try:
        _write(files, new)
        record = _Record(size=new.stat().st_size, sha256=_digest(new))
        for earlier in target.parent.glob(f"{target.name.rsplit('-', 1)[0]}-*.merged.*"):
            if earlier != new and earlier.suffix != ".lock":
                earlier.unlink(missing_ok=True)
        target.with_suffix(".json").write_text(record.model_dump_json(), encoding="utf-8")
        new.replace(target)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def _write(files: Sequence[Path], target: Path) -> None:
    """Write the metadata of the first file, and the tensors of all.

    Raises:
        SourceError: one of them cannot be read, or is of another model.
    """
    from gguf import GGUFReader

    readers = []
    for number, file in enumerate(files):
        try:
            reader = GGUFReader(file)
            _require_part(reader, number, len(files), file.name)
        except (KeyError, ValueError, IndexError, NotImplementedError) as error:  # of the library, for a damaged file
            raise SourceError(f"{file.name} cannot be read: {describe_error(error)}") from error
        readers.append(reader)
    total, told = sum(len(reader.tensors) for reader in readers), _told(readers[0], "split.tensors.count")
    if told is not None and told != total:
        raise SourceError(f"its parts have {total} tensors together, and the first one says {told}")
    _copy(readers, target)


def _require_part(reader: Any, number: int, count: int, name: str) -> None:
    """Raise `SourceError` if a file says that it is another part than its name does."""
    says = _told(reader, "split.no"), _told(reader, "split.count")
    if says not in {(number, count), (None, None)}:
        raise SourceError(f"{name} says that it is part {says[0]} of {says[1]}, counted from 0")


def _told(reader: Any, key: str) -> int | None:
    field = reader.fields.get(key)
    return None if field is None else int(field.contents())


def _copy(readers: Sequence[Any], target: Path) -> None:
    from gguf import GGUFValueType, GGUFWriter

    first = readers[0]
    writer = GGUFWriter(target, str(first.fields["general.architecture"].contents()), endianess=first.endianess)
    writer.data_alignment = first.alignment
    for name, field in first.fields.items():
        if name.startswith(("GGUF.", _SPLIT)) or name == "general.architecture":  # the writer adds these itself
            continue
        kind = field.types[0]
        of = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=of)
    tensors = [tensor for reader in readers for tensor in reader.tensors]
    try:
        for tensor in tensors:
            data = tensor.data
            writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, tensor.tensor_type)
    except ValueError as error:
        raise SourceError(f"its parts do not go together: {describe_error(error)}") from error
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(tensor.data, tensor_endianess=first.endianess)
    writer.close()
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
