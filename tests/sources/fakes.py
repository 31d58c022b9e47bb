"""A hub on 127.0.0.1, and a list of events instead of a log."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class RecordingEvents:
    """Keeps the name of every event and its arguments, without the times."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    def names(self) -> list[str]:
        return [name for name, *_ in self.seen]

    def reasons(self) -> str:
        return " | ".join(event[-1] for event in self.seen)

    def source_tried(self, source: str) -> None:
        """Not kept: the result is an event, too."""

    def snapshot_loaded(self, name: str, seconds: float) -> None:
        self.seen.append(("snapshot_loaded", name))

    def snapshot_built(self, name: str, size: int, seconds: float) -> None:
        self.seen.append(("snapshot_built", name))

    def conversion_begun(self, name: str) -> None:
        self.seen.append(("conversion_begun", name))

    def snapshot_set_aside(self, name: str, reason: str) -> None:
        self.seen.append(("snapshot_set_aside", name, reason))

    def snapshot_not_kept(self, name: str, reason: str) -> None:
        self.seen.append(("snapshot_not_kept", name, reason))

    def source_failed(self, source: str, reason: str) -> None:
        self.seen.append(("source_failed", source, reason))

    def source_loaded(self, source: str, seconds: float) -> None:
        self.seen.append(("source_loaded", source))

    def waiting_for_builder(self, name: str) -> None:
        self.seen.append(("waiting_for_builder", name))


@dataclass
class FakeHub:
    """A model hub with one repository, `some/tiny`.

    Attributes:
        folder: the repository's files.
        requests: the path of every request so far.
        answering: not set, and it accepts connections and says nothing.
        sending: not set, and weights stop after their first bytes.
        announced: sizes it claims instead of the true ones.
        status: the HTTP status it gives to everything.
    """

    folder: Path
    requests: list[str] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    sending: threading.Event = field(default_factory=threading.Event)
    announced: dict[str, int] = field(default_factory=dict)
    status: int = 200
    address: str = ""

    def downloads(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.requests if "/resolve/" in path]

    def files(self) -> list[dict[str, Any]]:
        return [
            {"rfilename": name, "size": self.announced.get(name, (self.folder / name).stat().st_size)}
            for name in sorted(file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*.*"))
        ]


@contextmanager
def serving(hub: FakeHub, host: str = "127.0.0.1") -> Iterator[FakeHub]:
    """Serve `hub` on a free port of `host`, its `address` set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name for it
            pass

        def _json(self, data: Any) -> None:
            self._bytes(json.dumps(data).encode(), "application/json")

        def _bytes(self, body: bytes, kind: str = "application/octet-stream") -> None:
            self.send_response(hub.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "HEAD":
                return
            if kind == "weights":
                self.wfile.write(body[:100])
                self.wfile.flush()
                hub.sending.wait(60)
                body = body[100:]
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            hub.answering.wait(60)
            path = self.path.partition("?")[0]
            if hub.status != 200:
                self._bytes(b"no")
            elif "/tree/" in path:
                entries = [
                    {"type": "file", "path": file["rfilename"], "size": file["size"], "oid": "0" * 40}
                    for file in hub.files()
                ]
                self._json(entries)
            elif path.startswith("/api/models/some/tiny"):
                tags = ["llama", "license:apache-2.0"]
                self._json({"id": "some/tiny", "sha": COMMIT, "siblings": hub.files(), "tags": tags})
            else:
                name = path.partition(f"/resolve/{COMMIT}/")[2]
                kind = "weights" if name.endswith(".safetensors") else "file"
                self._bytes((hub.folder / name).read_bytes(), kind)

    hub.answering.set()
    hub.sending.set()
    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are what is tested
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.address = f"http://{host}:{server.server_port}"
    try:
        yield hub
    finally:
        hub.answering.set()
        hub.sending.set()
        server.shutdown()
        server.server_close()
        thread.join()
