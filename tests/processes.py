"""Processes, as tests ask about them."""

import psutil


def has_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; it may end at any moment, also between two questions about it."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
