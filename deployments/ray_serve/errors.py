"""Failures on their way through Serve, which passes on nothing but text."""


class LoadFailedError(Exception):
    """A model could not be loaded. Its text is one line: Serve passes on the last line of what a replica raises."""


_LOAD_FAILED = f"{LoadFailedError.__module__}.{LoadFailedError.__qualname__}: "


def last_line(message: str) -> str:
    """The line of Serve's `message` that names the error: Serve reports whole tracebacks, and their last line does.

    The name of `LoadFailedError` is taken off, as its text names the error that it was raised for. Empty where
    `message` is blank.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix(_LOAD_FAILED) if lines else ""
