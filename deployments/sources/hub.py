"""Weights from the Hugging Face hub, or a mirror of it.

    look up    one call for the size of every file; given up after `timeout` seconds in total, whether name resolution,
               a connection or the retries of `huggingface_hub` take so long
    choose     the safetensors, or the GGUF file that the source names, or all of its parts
    refuse     weights over the limit, before anything is downloaded
    download   by `huggingface_hub`, into its own cache, with its progress bars; given up when it stalls

With `HF_HUB_OFFLINE`, or if the hub cannot be asked, a complete copy in the cache of `huggingface_hub` is used.
"""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from deployments.settings.sources import HubSource
from deployments.sources.checkpoint import WEIGHTS, Checkpoint, source_name, weight_files, weight_size
from deployments.sources.errors import SourceError, describe_error, refuse_over
from deployments.sources.gguf_choice import choose_gguf, gguf_files, listed
from deployments.sources.gguf_parts import pattern_of

STALL_SECONDS = 60.0
"""A download is given up after this long without a byte; the library has used up its own retries by then."""

_FILES = (*WEIGHTS, "*_Dense/model.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_CODE = ("*.py",)
_NESTED = "[!0-9]*/*"  # copies of the model in other formats; not `1_Pooling/` and its like
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a look-up.

    Attributes:
        license: the SPDX name on the repository's card; empty if it names none.
        cached: the folder in the library's cache to use; `None` if the files are to be downloaded.
        gguf: the GGUF file that is meant, or all of its parts; none for safetensors.
    """

    license: str
    cached: Path | None
    gguf: tuple[str, ...] = ()


def look_up(source: HubSource, limit: int, timeout: float, *, code: bool = False) -> Listing:
    """Ask the hub for the files of a repository.

    Args:
        source: the repository.
        limit: the most bytes of weights.
        timeout: seconds until the hub is given up.
        code: include the code that comes with the weights.

    Raises:
        ModelTooLargeError: the weights are over the limit; nothing was downloaded.
        SourceError: the repository has no safetensors, or the hub cannot be asked and the library's cache has no copy.
    """
    from huggingface_hub import HfApi, is_offline_mode

    if is_offline_mode():
        return _listing(source, limit, "the hub is not to be asked (HF_HUB_OFFLINE)", code=code)
    try:
        info: Any = _within(
            timeout,  # the library's own, for each read, is longer: it must not come first on a busy node
            lambda: HfApi().model_info(source.repo, revision=source.revision, files_metadata=True, timeout=2 * timeout),
        )
    except TimeoutError:
        return _listing(source, limit, f"the hub has not answered within {timeout:g} s", code=code)
    except Exception as error:  # noqa: BLE001 - whatever the library raises, the hub could not be asked
        return _listing(source, limit, f"the hub cannot be asked: {describe_error(error)}", code=code)
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    gguf = choose_gguf(sizes, source.file) if source.file else ()
    weights = [sizes[name] for name in gguf or weight_files(sizes)]
    if not weights:
        others = gguf_files(sizes)
        hint = f" (it has GGUF files; name one with `file`: {listed(others)})" if others else ""
        raise SourceError(f"the repository has no weights in safetensors{hint}")
    if None in weights:
        raise SourceError("the hub does not say how large the weights are")
    refuse_over(limit, sum(weights))
    return Listing(license=_license(info), cached=None, gguf=gguf)


def download(source: HubSource, listing: Listing, limit: int, *, code: bool = False) -> Checkpoint:
    """Download what `look_up` has found into the library's cache.

    Args:
        source: the repository.
        listing: the result of `look_up`.
        limit: the most bytes of weights.
        code: include the code that comes with the weights.

    Raises:
        ModelTooLargeError: the files are larger than the hub had said.
        SourceError: the download failed, or stalled for `STALL_SECONDS`.
    """
    folder = listing.cached
    if folder is None:
        folder = _download(source, **_patterns(listing.gguf, code=code))
    refuse_over(limit, _size_of(folder, listing.gguf))
    return _checkpoint(source, folder, listing)


def cached(source: HubSource, limit: int) -> Checkpoint:
    """The copy in the library's cache.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        SourceError: there is no complete copy.
    """
    listing = _listing(source, limit, "the hub has not been asked", code=False)
    return download(source, listing, limit)


def _checkpoint(source: HubSource, folder: Path, listing: Listing) -> Checkpoint:
    gguf = [PurePosixPath(name) for name in listing.gguf]
    return Checkpoint(
        folder=folder / gguf[0].parent if gguf else folder,
        gguf=gguf[0].name if gguf else None,
        parts=tuple(name.name for name in gguf) if len(gguf) > 1 else (),
        name=source.repo,
        origin=source_name(source),
        revision=folder.name,  # the commit: a branch may have moved since the look-up
        license=listing.license,
    )


def _patterns(gguf: tuple[str, ...], *, code: bool) -> dict[str, list[str]]:
    """The files to download, as the library wants to be told."""
    if gguf:
        return {"allow_patterns": [_literal(name) for name in gguf]}
    return {"allow_patterns": [*_FILES, *(_CODE if code else ())], "ignore_patterns": [_NESTED]}


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _download(source: HubSource, **patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    moved = [time.monotonic()]

    class Watched(tqdm):  # type: ignore[misc]  # the library's progress bar has no types
        """The library's progress bar, which also notes when the last bytes came."""

        def update(self, n: float | None = 1) -> Any:
            moved[0] = time.monotonic()
            return super().update(n)

    download = _start(
        lambda: snapshot_download(
            source.repo,
            # Not the commit: the library would not record which commit the branch is, and find nothing offline.
            revision=source.revision,
            tqdm_class=Watched,
            **patterns,
        )
    )
    while not download.done():
        rest = moved[0] + STALL_SECONDS - time.monotonic()
        if rest <= 0:
            raise SourceError(f"the download has stood still for {STALL_SECONDS:g} s")
        wait([download], rest)
    try:
        return Path(download.result())
    except Exception as error:
        raise SourceError(f"the download failed: {describe_error(error)}") from error


def _listing(source: HubSource, limit: int, why: str, *, code: bool) -> Listing:
    """The copy in the library's cache, which the hub has not been asked about for the reason `why`."""
    from huggingface_hub import snapshot_download

    patterns = _patterns((), code=code)
    if source.file:  # no more than is meant: the library wants all that it knows the repository to have
        ending = ".gguf" if source.file.endswith("*") else ""
        patterns = {"allow_patterns": [f"{pattern_of(source.file)}{ending}", _literal(source.file)]}
    try:
        folder = Path(snapshot_download(source.repo, revision=source.revision, local_files_only=True, **patterns))
    except Exception as error:
        raise SourceError(f"{why}, and the library's cache has no complete copy") from error
    gguf: tuple[str, ...] = ()
    if source.file:
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*.gguf")]
        try:
            gguf = choose_gguf(names, source.file)
        except SourceError as error:
            raise SourceError(f"{why}, and of the library's cache: {error.reason}") from error
    refuse_over(limit, _size_of(folder, gguf))
    return Listing(license="", cached=folder, gguf=gguf)


def _size_of(folder: Path, gguf: tuple[str, ...]) -> int:
    try:
        size = sum((folder / name).stat().st_size for name in gguf) if gguf else weight_size(folder)
    except OSError as error:
        raise SourceError(f"the library's cache cannot be read: {error.strerror}") from error
    if not size:
        raise SourceError("the library's cache holds no such weights")
    return size


def _license(info: Any) -> str:
    licenses = (tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:"))
    return next(licenses, "")


def _within(seconds: float, call: Callable[[], _T]) -> _T:
    """Run `call` for at most `seconds`. Raises `TimeoutError` after that, and what `call` raises."""
    return _start(call).result(seconds)


def _start(call: Callable[[], _T]) -> Future[_T]:
    """Run `call` in a daemon thread: a name look-up that hangs cannot be ended, and must not keep the process alive."""
    future: Future[_T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again by the future
            future.set_exception(error)

    threading.Thread(target=work, name="hub", daemon=True).start()
    return future
