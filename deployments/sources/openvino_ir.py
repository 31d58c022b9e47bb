"""Language models in OpenVINO's own form, made once out of a GGUF file and kept in `cache/gguf/`.

From a GGUF file OpenVINO GenAI builds its model and its tokenizer anew at every start, which takes three of the four
seconds a replica needs. In its own form it maps the weights instead, and the replicas of a node share their pages.

    <key>.openvino/         model, tokenizer and detokenizer, as OpenVINO GenAI itself writes them
    <key>.openvino.json     what is known of them: the version that wrote them, and their digests

The key is that of `converted`.
"""

import hashlib
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256
from deployments.sources.errors import SourceError, plain, said_by
from deployments.sources.gguf_q8 import Readable, make_readable, places

_TIMEOUT_S = 600.0


class ExportError(SourceError):
    """The file is readable, but its form for OpenVINO cannot be made or kept."""


class _Known(Settings):
    """What is known of an export."""

    context: int
    openvino: str
    files: dict[str, Sha256]


def export(file: Path, cache: Path, limit: int) -> Readable:
    """The folder of `file` in OpenVINO's form, from the cache where it is there. Blocks for seconds where it is not.

    Args:
        file: a GGUF file.
        cache: the cache's folder.
        limit: bytes of weights, at most.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        ExportError: OpenVINO cannot write it, or the cache has no room.
        SourceError: the file cannot be read.
    """
    try:
        conversion = places(file, cache)[1]
    except OSError as error:
        raise SourceError(f"{file.name} cannot be read: {said_by(error)}") from error
    folder, record = conversion.with_suffix(".openvino"), conversion.with_suffix(".openvino.json")
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(conversion.with_suffix(".openvino.lock"), fallback_to_soft=False):
            known = _known(record, folder) or _make(make_readable(file, cache, limit), record, folder)
    except (OSError, NotImplementedError) as error:
        raise ExportError(f"the cache of GGUF files cannot be used: {said_by(error)}") from error
    return Readable(folder, known.context)


def _known(record: Path, folder: Path) -> _Known | None:
    try:
        known = _Known.model_validate_json(record.read_bytes())
        sound = known.openvino == _version() and _digests(folder) == known.files
    except (FileNotFoundError, ValidationError):
        return None
    return known if sound else None


def _make(readable: Readable, record: Path, folder: Path) -> _Known:
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        link = new / "model.gguf"  # it is written beside the file it is made from
        link.symlink_to(readable.file.resolve())
        _run(link)
        link.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        known = _Known(context=readable.context, openvino=_version(), files=_digests(new))
        new.replace(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    written = record.with_name(f"{record.name}.new")
    written.write_text(known.model_dump_json(), encoding="utf-8")
    written.replace(record)
    return known


def _run(file: Path) -> None:
    """In a process of its own: what it takes is not given back, and OpenVINO holds the interpreter's lock."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and every word is ours
            [sys.executable, "-c", _PROGRAM, str(file)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"OpenVINO has not written it within {_TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise ExportError(f"OpenVINO cannot write it: {plain(' '.join(last))}")


_PROGRAM = """
import sys
import openvino_genai as genai
scheduling = genai.SchedulerConfig()
scheduling.num_kv_blocks = 1
genai.ContinuousBatchingPipeline(sys.argv[1], scheduling, "CPU", {"enable_save_ov_model": True})
genai.Tokenizer(sys.argv[1], enable_save_ov_model=True)
"""


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            digests[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return digests


def _version() -> str:
    return version("openvino-genai")
