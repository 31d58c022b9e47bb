"""Telling a cancellation of the running task from one that an awaited call passes on."""

import asyncio


def is_own_cancellation() -> bool:
    """Return whether a `CancelledError` that was just raised was meant for the running task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
