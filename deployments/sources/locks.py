"""Locks between the processes of a node. Each wait has a bound: whoever holds a lock may be stopped, or stuck."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_WAIT_S = 1500.0
"""Seconds that a lock is waited for. A load has half an hour by default: the rest of it is enough to go on without."""

WAITING_SECONDS = 30.0
"""Seconds between two calls of `on_wait` while another process holds the lock."""


class LockNotFreeError(OSError):
    """Another process holds the lock for longer than it is waited for."""


@contextmanager
def node_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock in the file `path`; waits for it. The kernel frees the lock of a process that dies.

    Args:
        path: the file, whose folder exists.
        on_wait: called if another process holds the lock: at once, and then every `WAITING_SECONDS`.

    Raises:
        LockNotFreeError: it was waited for in vain.
        OSError, NotImplementedError: the folder cannot be written to, or its file system has no locks.
    """
    lock, until, wait_s = FileLock(path, fallback_to_soft=False), time.monotonic() + LOCK_WAIT_S, 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=wait_s)
        except Timeout as error:
            if (left_s := until - time.monotonic()) <= 0.0:
                raise LockNotFreeError(f"another process has been at it for {LOCK_WAIT_S:g} s") from error
            on_wait()
            wait_s = min(WAITING_SECONDS, left_s)
    try:
        yield
    finally:
        lock.release()
