"""Words for what went wrong, in bounds: an exception may have any number of them, or raise when it is asked."""

from traceback import StackSummary, walk_tb

MAX_REASON_CHARACTERS = 500
"""The longest reason of an outcome, in an answer's trace as in a log line."""


_MAX_CAUSES = 5
_MAX_FRAMES = 20


def cut(text: str, characters: int = MAX_REASON_CHARACTERS) -> str:
    """Return `text` with at most `characters`; an ellipsis stands for what was cut off."""
    return text if len(text) <= characters else text[: characters - 1] + "\u2026"


def well_formed(text: str) -> str:
    """Return `text` as UTF-8 can have it: a question mark stands for each half of a surrogate pair."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def loading_for(seconds: float) -> str:
    """Return what is said of a model that has been loading for `seconds`."""
    return f"loading its weights, {max(0.0, seconds):.0f} s so far"


def message_of(error: BaseException) -> str:
    """Return the message of `error`, in bounds; a message that cannot be had is said to be none."""
    try:
        return cut(str.__str__(str(error)))
    except Exception:  # noqa: BLE001 - the exception is a caller's or a model's own, and so is its `__str__`
        return "it has no message that can be read"


def reason_of(error: BaseException) -> str:
    """Return the type and the message of `error`, in bounds."""
    return cut(f"{type(error).__name__}: {message_of(error)}")


def locate_error(error: BaseException) -> str:
    """Return the type of `error` and the place that raised it, and nothing of its message."""
    name = type(error).__name__
    if (last := error.__traceback__) is None:
        return name
    while last.tb_next is not None:  # `extract_tb` would look at the file of every frame on the way
        last = last.tb_next
    code = last.tb_frame.f_code
    return cut(f"{name} in {code.co_name} ({code.co_filename.rpartition('/')[2]}:{last.tb_lineno})")


def trace_without_messages(error: BaseException) -> str:
    """Return the trace of `error` and of what caused it, innermost first: types and places, and no message."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(texts) < _MAX_CAUSES:
        # Without the columns that `format_tb` has, for which it parses each line: it takes five times as long.
        frames = "".join(StackSummary.extract(walk_tb(seen.__traceback__), limit=-_MAX_FRAMES).format())
        texts.append(f"Traceback (most recent call last):\n{frames}{type(seen).__name__}\n")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(reversed(texts))
