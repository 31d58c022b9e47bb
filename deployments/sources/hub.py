"""Weights from the Hugging Face hub, or a mirror of it.

    look up    one call: the size of every file; given up after `timeout` seconds in total, whatever
               hangs (names, connections, the library's own retries)
    refuse     weights over the limit, before anything is downloaded
    download   the library's own, into its own cache, with its progress bars; given up when it stands still

`HF_HUB_OFFLINE`, or a hub that cannot be asked, leaves what is complete in the library's cache.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deployments.settings.sources import HubSource
from deployments.sources.checkpoint import WEIGHTS, Checkpoint, label, weight_files, weight_size
from deployments.sources.errors import SourceError, refuse_over, said_by

STALL_SECONDS = 60.0
"""A download without a byte for this long is given up; the library has then used up its own retries."""

_FILES = (*WEIGHTS, "*.json", "*.txt", "*.model", "*.jinja")
_CODE = ("*.py",)
_NESTED = "*/*"  # other formats' copies of the same model
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the hub, or the library's cache, has of a source.

    Attributes:
        license: the SPDX name, as the repository's card tells it.
        cached: the folder where it already is; `None` where it must be downloaded.
    """

    license: str
    cached: Path | None


def look_up(source: HubSource, limit: int, timeout: float, *, code: bool = False) -> Listing:
    """Ask the hub what it has.

    Args:
        source: the repository.
        limit: bytes of weights, at most.
        timeout: seconds until the hub is given up.
        code: the code that comes with the weights is wanted, too.

    Raises:
        ModelTooLargeError: the weights are over the limit; nothing was downloaded.
        SourceError: the hub cannot be asked, or has no safetensors, and the library's cache has no copy.
    """
    from huggingface_hub import HfApi, is_offline_mode

    if is_offline_mode():
        return _cached(source, limit, "the hub is not to be asked (HF_HUB_OFFLINE)", code=code)
    try:
        info: Any = _within(
            timeout,
            lambda: HfApi().model_info(source.repo, revision=source.revision, files_metadata=True, timeout=timeout),
        )
    except TimeoutError:
        return _cached(source, limit, f"the hub has not answered within {timeout:g} s", code=code)
    except Exception as error:  # noqa: BLE001 - whatever the library raised, the hub could not be asked
        return _cached(source, limit, f"the hub cannot be asked: {said_by(error)}", code=code)
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    weights = [sizes[name] for name in weight_files(sizes)]
    if not weights:
        raise SourceError("the repository has no weights in safetensors")
    if None in weights:
        raise SourceError("the hub does not say how large the weights are")
    refuse_over(limit, sum(weights))
    return Listing(license=_license(info), cached=None)


def download(source: HubSource, listing: Listing, limit: int, *, code: bool = False) -> Checkpoint:
    """Bring what `look_up` found into the library's cache.

    Args:
        source: the repository.
        listing: what it has.
        limit: bytes of weights, at most.
        code: the code that comes with the weights is wanted, too.

    Raises:
        ModelTooLargeError: more has come than had been announced.
        SourceError: the download failed, or stood still for `STALL_SECONDS`.
    """
    folder = _download(source, code=code) if listing.cached is None else listing.cached
    refuse_over(limit, _size_of(folder))
    return Checkpoint(
        folder=folder,
        gguf=None,
        name=source.repo,
        origin=label(source),
        revision=folder.name,  # the commit: it may have moved since the look-up
        license=listing.license,
    )


def _download(source: HubSource, *, code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    moved = [time.monotonic()]

    class Watched(tqdm):  # type: ignore[misc]  # the library's progress bar has no types
        """The library's progress bar, which also notes that something has moved."""

        def update(self, n: float | None = 1) -> Any:
            moved[0] = time.monotonic()
            return super().update(n)

    task = _start(
        lambda: snapshot_download(
            source.repo,
            # Not the commit: the library would not note which one the branch is, and find nothing when offline.
            revision=source.revision,
            allow_patterns=[*_FILES, *(_CODE if code else ())],
            ignore_patterns=[_NESTED],
            tqdm_class=Watched,
        )
    )
    while not task.done():
        rest = moved[0] + STALL_SECONDS - time.monotonic()
        if rest <= 0:
            raise SourceError(f"the download has stood still for {STALL_SECONDS:g} s")
        wait([task], rest)
    try:
        return Path(task.result())
    except Exception as error:
        raise SourceError(f"the download failed: {said_by(error)}") from error


def cached_size(source: HubSource, limit: int) -> int:
    """The bytes of the weights in the library's cache.

    Raises:
        ModelTooLargeError: they are over the limit.
        SourceError: it has no complete copy.
    """
    return _size_of(_cached_folder(source, limit, "the hub has not been asked"))


def _cached(source: HubSource, limit: int, why: str, *, code: bool) -> Listing:
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
    marks = (tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:"))
    return next(marks, "")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Run `call`, for at most `seconds`. Raises `TimeoutError` beyond, and what `call` raises."""
    return _start(call).result(seconds)


def _start(call: Callable[[], T]) -> Future[T]:
    """Run `call` in a thread that does not keep the process alive: nothing can end a hanging name look-up."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, name="hub", daemon=True).start()
    return future
