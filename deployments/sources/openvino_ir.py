"""Language models in OpenVINO's IR format, exported once from a GGUF file into `cache/gguf/`.

From a GGUF file, OpenVINO GenAI builds model and tokenizer anew at every start, which takes three of the four seconds
that a replica needs. In its IR format it maps the weights instead, and the replicas of a node share their pages.

    <key>.openvino/         model, tokenizer and detokenizer, written by OpenVINO GenAI
    <key>.openvino.json     the record: the version that wrote them, and their digests

The key is that of `gguf_q8`.
"""

import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256
from deployments.sources.errors import ExportError, InterruptedExportError, SourceError, describe_error
from deployments.sources.failures import earlier_failure, forget_failure, note_failure
from deployments.sources.gguf_q8 import OpenVINOModel, cache_paths, prepare_gguf
from deployments.sources.locks import node_lock
from deployments.sources.openvino_child import run_child


class _Record(Settings):
    """The record of an export."""

    context: int
    openvino: str
    files: dict[str, Sha256]


def export_ir(file: Path, cache: Path, limit: int, *, again: bool = False) -> OpenVINOModel:
    """The folder of `file` in IR format. Blocks for seconds if the cache does not have it yet.

    Args:
        file: a GGUF file.
        cache: the cache's folder.
        limit: the most bytes of weights.
        again: try it although it has failed before.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        ExportError: OpenVINO cannot export the file, or the cache cannot be written to.
        SourceError: the file cannot be read.
    """
    try:
        conversion = cache_paths(file, cache)[1]
    except OSError as error:
        raise SourceError(f"{file.name} cannot be read: {describe_error(error)}") from error
    folder, record_path = conversion.with_suffix(".openvino"), conversion.with_suffix(".openvino.json")
    try:
        record_path.parent.mkdir(parents=True, exist_ok=True)
        with node_lock(conversion.with_suffix(".openvino.lock")):
            record = _read_record(record_path, folder)
            if record is None and not again and (why := earlier_failure(folder, "")):
                raise ExportError(why)
            record = record or _export(prepare_gguf(file, cache, limit), record_path, folder)
    except (OSError, NotImplementedError) as error:
        raise ExportError(f"the cache of GGUF files cannot be used: {describe_error(error)}") from error
    return OpenVINOModel(folder, record.context)


def _read_record(path: Path, folder: Path) -> _Record | None:
    """The record, if there is one, the export is intact and of the installed version."""
    try:
        record = _Record.model_validate_json(path.read_bytes())
        intact = record.openvino == installed_version() and digests_of(folder) == record.files
    except (FileNotFoundError, ValidationError):
        return None
    return record if intact else None


def _export(model: OpenVINOModel, record_path: Path, folder: Path) -> _Record:
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        link = new / "model.gguf"  # OpenVINO writes the export beside this file
        link.symlink_to(model.path.resolve())
        try:
            _run(link)
        except InterruptedExportError:
            raise
        except ExportError as error:
            note_failure(folder, "", error.reason)
            raise
        link.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        record = _Record(context=model.context, openvino=installed_version(), files=digests_of(new))
        new.replace(folder)
        forget_failure(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    new_record = record_path.with_name(f"{record_path.name}.new")
    new_record.write_text(record.model_dump_json(), encoding="utf-8")
    new_record.replace(record_path)
    return record


def _run(file: Path) -> None:
    run_child("export", str(file))


def digests_of(folder: Path) -> dict[str, str]:
    """The sha256 of each file in `folder`, by name."""
    digests = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            digests[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return digests


def installed_version() -> str:
    """The version of OpenVINO GenAI: what one version wrote, another may read differently."""
    return version("openvino-genai")
