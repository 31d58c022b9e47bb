"""Weights from the Hugging Face hub, or a mirror of it.

    look up    one call for the size of every file; given up after `timeout` seconds in total, whether name resolution,
               a connection or the retries of `huggingface_hub` take so long
    refuse     weights over the limit, before anything is downloaded
    download   by `huggingface_hub`, into its own cache, with its progress bars; given up when it stalls

With `HF_HUB_OFFLINE`, or if the hub cannot be asked, a complete copy in the cache of `huggingface_hub` is used.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deployments.settings.sources import HubSource
from deployments.sources.checkpoint import WEIGHTS, Checkpoint, source_name, weight_files, weight_size
from deployments.sources.errors import SourceError, describe_error, refuse_over

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
    """

    license: str
    cached: Path | None


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
    weights = [sizes[name] for name in weight_files(sizes)]
    if not weights:
        raise SourceError("the repository has no weights in safetensors")
    if None in weights:
        raise SourceError("the hub does not say how large the weights are")
    refuse_over(limit, sum(weights))
    return Listing(license=_license(info), cached=None)


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
    folder = _download(source, code=code) if listing.cached is None else listing.cached
    refuse_over(limit, _size_of(folder))
    return _checkpoint(source, folder, listing.license)


def cached(source: HubSource, limit: int) -> Checkpoint:
    """The copy in the library's cache.

    Raises:
        ModelTooLargeError: the weights are over the limit.
        SourceError: there is no complete copy.
    """
    return _checkpoint(source, _cached_folder(source, limit, "the hub has not been asked"), "")


def _checkpoint(source: HubSource, folder: Path, spdx: str) -> Checkpoint:
    return Checkpoint(
        folder=folder,
        gguf=None,
        name=source.repo,
        origin=source_name(source),
        revision=folder.name,  # the commit: a branch may have moved since the look-up
        license=spdx,
    )


def _download(source: HubSource, *, code: bool) -> Path:
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
            allow_patterns=[*_FILES, *(_CODE if code else ())],
            ignore_patterns=[_NESTED],
            tqdm_class=Watched,
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
    return Listing(license="", cached=_cached_folder(source, limit, why, code=code))


def _cached_folder(source: HubSource, limit: int, why: str, *, code: bool = False) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                source.repo,
                revision=source.revision,
                allow_patterns=[*_FILES, *(_CODE if code else ())],
                ignore_patterns=[_NESTED],
                local_files_only=True,
            )
        )
    except Exception as error:
        raise SourceError(f"{why}, and the library's cache has no complete copy") from error
    refuse_over(limit, _size_of(folder))
    return folder


def _size_of(folder: Path) -> int:
    try:
        size = weight_size(folder)
    except OSError as error:
        raise SourceError(f"the library's cache cannot be read: {error.strerror}") from error
    if not size:
        raise SourceError("the library's cache holds no weights in safetensors")
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
