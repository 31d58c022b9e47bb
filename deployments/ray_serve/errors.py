"""Failures on their way through Serve, which passes on nothing but text."""

import re


class LoadFailedError(Exception):
    """A model could not be loaded. Its text is one line: Serve passes on the last line of what a replica raises."""


_LOAD_FAILED = f"{LoadFailedError.__module__}.{LoadFailedError.__qualname__}: "


_SLOW_START = "This may be caused by a slow __init__ or reconfigure method."
_NO_ROOM = re.compile(
    r"to be scheduled\. .*Resources required for each replica: (?P<needed>.*), "
    r"total resources available: (?P<free>.*)\. Use"
)


def last_line(message: str) -> str:
    """The line of Serve's `message` that names the error: Serve reports whole tracebacks, and their last line does.

    The name of `LoadFailedError` is taken off, as its text names the error that it was raised for. Empty where
    `message` is blank, or a guess of Serve about a replica that takes long to load. Of one that waits for a node the
    line says what it needs and what there is.
    """
    if _SLOW_START in message:
        return ""
    if waiting := _NO_ROOM.search(message):
        return f"waits for a node with room for it: it needs {waiting['needed']}, and {waiting['free']} are free"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix(_LOAD_FAILED) if lines else ""
