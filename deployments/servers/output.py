"""What a server writes to standard output and standard error: kept in a file of the node, bounded, and its last words.

The lines are not among those of the service, which have no content of requests in them: a server may write any.
"""

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from deployments.policy.reason import MAX_REASON_CHARACTERS, cut
from deployments.upstream.redaction import Redactor

KEPT_LINES = 200
MAX_LINE_CHARACTERS = 1000
_MOST_HELD = 1 << 18  # bytes of a line that has not ended
MAX_FILE_BYTES = 4 << 20
"""The size at which a file is renamed to `….1`, in the place of the one before it, and a new one is begun."""

_KEPT_FILES = 8
_LAST_WORDS = 6
_LAST_CHARACTERS = MAX_REASON_CHARACTERS * 3 // 4
"""Of all last words together: what else a reason says goes before them."""

_PORT_TAKEN = re.compile(r"address (is )?already in use|EADDRINUSE|port \d+ is (already )?in use", re.IGNORECASE)
_NAMES_A_FAULT = re.compile(
    r"error\b|exception\b|fatal|cannot|could not|failed|not found|no such|invalid", re.IGNORECASE
)
_NAMES_A_PAGE = re.compile(
    r"^(\([^()]*\) *)?For further information visit "
)  # pydantic's last line; vLLM names its process
_ENDS_OF_LINES = re.compile(rb"[\r\n]+")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class ServerOutput:
    """Reads the output of one process in a thread, until it is closed.

    Attributes:
        path: the file of the lines; `None` where none can be written.
    """

    def __init__(self, stream: BinaryIO, folder: Path, name: str, secrets: Iterable[str]) -> None:
        """Read `stream`; the file is in `folder` and has `name` in its own. No line has one of `secrets` in it.

        Of secrets, as of those of upstreams, the shortest ones are left: they would be parts of ordinary words.
        """
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._hide = Redactor(secrets).hide
        self._size = 0
        self._file: BinaryIO | None = None
        self.path: Path | None = None
        self._open(folder, name)
        self._thread = threading.Thread(target=self._read, name="server-output", daemon=True)
        self._thread.start()

    @property
    def last_line(self) -> str:
        """The last line so far; empty where there is none."""
        return self._lines[-1] if self._lines else ""

    @property
    def port_taken(self) -> bool:
        """Whether a line says that the port is in use."""
        return any(_PORT_TAKEN.search(line) for line in list(self._lines))

    def last_words(self) -> str:
        """Return the last lines that name a fault, or the last ones where none does, in the bounds of a reason."""
        lines = list(dict.fromkeys(self._lines))
        telling = [line for line in lines if _NAMES_A_FAULT.search(line) and not _NAMES_A_PAGE.search(line)] or lines
        words: list[str] = []
        for line in map(_in_short, reversed(telling[-_LAST_WORDS:])):
            if words and sum(map(len, words)) + len(line) > _LAST_CHARACTERS:
                break
            words.insert(0, line)
        return " | ".join(words)

    def join(self, timeout_s: float) -> None:
        """Wait until all is read, at most for `timeout_s` seconds: a descendant may hold the stream open."""
        self._thread.join(timeout_s)

    def _open(self, folder: Path, name: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _forget_old(folder, name)
            path = folder / f"{name}-{os.getpid()}.log"
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
            self._size = path.stat().st_size
        except OSError:
            return  # a cache that cannot be written to: the last lines are in memory all the same
        self.path = path

    def _read(self) -> None:
        with self._stream:
            for line in _lines_of(self._stream, self._hide):
                self._keep(line)
        if self._file is not None:
            self._file.close()

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        if self._file is None or self.path is None:
            return
        data = f"{line}\n".encode(errors="replace")
        try:
            if self._size + len(data) > MAX_FILE_BYTES:
                self._file.close()
                self.path.replace(self.path.with_suffix(".log.1"))
                self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0)
                self._size = 0
            self._size += self._file.write(data)
        except OSError:
            self._file = None  # a full disk must not end the server


def _lines_of(stream: BinaryIO, hide: Callable[[str], str]) -> Iterator[str]:
    """Give the lines that are not blank, without what `hide` takes out of them.

    A bar of progress, which is drawn again and again, gives a line each time. A line is kept until it has come whole:
    a secret in two reads would not be found in either.
    """
    rest = b""
    while data := os.read(stream.fileno(), 1 << 16):
        *whole, rest = _ENDS_OF_LINES.split(rest + data)
        if len(rest) > _MOST_HELD:
            whole, rest = [*whole, rest], b""
        for line in whole:
            if text := _plain(line, hide):
                yield text
    if text := _plain(rest, hide):
        yield text


def _plain(line: bytes, hide: Callable[[str], str]) -> str:
    # Hidden before anything is cut off: the beginning of a secret is a part of it, too.
    text = _ESCAPES.sub("", hide(line.decode(errors="replace"))[: MAX_LINE_CHARACTERS * 4]).strip()
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_LINE_CHARACTERS]


def _in_short(line: str) -> str:
    return cut(line, _LAST_CHARACTERS)


def _forget_old(folder: Path, name: str) -> None:
    """Remove the files of earlier replicas of the same model, all but the newest."""
    found = sorted(folder.glob(f"{name}-*.log*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[_KEPT_FILES:]:
        path.unlink(missing_ok=True)
