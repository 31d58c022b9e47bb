"""Streams through a real Serve instance, with the real backup model behind them."""

import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.service.models import WORDS
from tests.service.service import Service, eventually

SAID_BEFORE_THE_FAULT = "".join(WORDS[:5])


def test_a_stream_gives_the_text_piece_by_piece_and_the_answer_at_its_end(service: Service) -> None:
    streamed = service.stream({"text": "Tell me."}, "narrator")

    assert streamed.text == "".join(WORDS)
    assert len(streamed.texts) > 10
    assert streamed.first_s < streamed.last_s / 2
    answer = streamed.answer
    assert (answer["served_by"], answer["degraded"], answer["finish_reason"]) == ("primary", False, "stop")
    assert streamed.headers["x-neverblank-served-by"] == "primary"


def test_the_real_model_streams_what_it_would_have_answered(service: Service) -> None:
    body = {"text": "What is the capital of France?", "max_tokens": 24, "temperature": 0}

    streamed, (answer, _) = service.stream(body, "smollm2"), service.ask(body, "smollm2")

    assert streamed.text.strip() == answer["result"]
    assert streamed.answer["usage"] == answer["usage"]
    assert len(streamed.texts) > 3


@pytest.mark.parametrize("header", ["x-request-timeout-seconds", "x-neverblank-timeout"])
def test_a_stream_may_last_longer_than_the_deadline_of_its_first_content(service: Service, header: str) -> None:
    streamed = service.stream({"text": "Tell me."}, "narrator", {header: "0.9"})

    assert streamed.text == "".join(WORDS)
    assert streamed.first_s < 0.9 < streamed.last_s


@pytest.mark.parametrize("fault", ["raise", "hang"])
def test_a_stream_that_fails_before_its_first_content_is_answered_by_the_backup(service: Service, fault: str) -> None:
    body = {"text": "Hello", "fault": fault, "after": 0, "max_tokens": 8, "timeout": 6}

    streamed = service.stream(body, "narrator")

    assert (streamed.headers["x-neverblank-served-by"], streamed.headers["x-neverblank-degraded"]) == ("backup", "true")
    assert streamed.answer["served_by"] == "backup"
    assert {text["served_by"] for text in streamed.texts} == {"backup"}
    assert streamed.first_s < 6


@pytest.mark.parametrize("fault", ["raise", "hang", "die"])
def test_a_stream_that_breaks_after_some_content_is_carried_on_by_the_backup(service: Service, fault: str) -> None:
    service.wait_ready("narrator")
    streamed = service.stream({"text": "Count the words.", "fault": fault, "max_tokens": 8}, "narrator")

    assert streamed.headers["x-neverblank-served-by"] == "primary"
    answer = streamed.answer
    assert (answer["served_by"], answer["degraded"]) == ("backup", True)
    assert streamed.text.startswith(SAID_BEFORE_THE_FAULT)
    joint = next(place for place, text in enumerate(streamed.texts) if text["served_by"] == "backup")
    assert "".join(text["text"] for text in streamed.texts[:joint]) == SAID_BEFORE_THE_FAULT
    taken_over = [attempt for attempt in answer["attempts"] if attempt["outcome"] == "answered"]
    assert [attempt["from_character"] for attempt in taken_over] == [len(SAID_BEFORE_THE_FAULT)]
    assert answer["finish_reason"] in {"stop", "length"}


def test_a_request_without_fallback_ends_with_the_last_resort_in_its_stream(service: Service) -> None:
    streamed = service.stream({"text": "Hello", "fault": "raise", "fallback": False}, "narrator")

    assert streamed.text.startswith(SAID_BEFORE_THE_FAULT)
    assert (streamed.answer["served_by"], streamed.answer["finish_reason"]) == ("last_resort", "last_resort")
    assert streamed.texts[-1]["served_by"] == "last_resort"


def test_a_reader_that_goes_away_stops_the_model_in_mid_stream(service: Service, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = {"text": "Hello", "fault": "watch", "file": str(mark), "stream": True}
    with service.http.stream("POST", "/v1/infer/narrator", json=body) as response:
        lines = response.iter_lines()  # a generator that nobody holds would close the response
        next(lines)
        eventually(mark.with_suffix(".started").exists, 10)
        gone = time.time()

    cancelled = float(eventually(lambda: mark.exists() and mark.read_text(), 10))
    assert cancelled - gone < 1.0


def test_a_slow_reader_holds_up_the_model_and_not_the_memory(service: Service, tmp_path: Path) -> None:
    written = tmp_path / "written"
    body = json.dumps({"text": "Hello", "file": str(written), "megabytes": 400, "stream": True, "timeout": 30}).encode()
    routers = [p for p in service.family() if "ServeReplica:neverblank:Router" in " ".join(_words(p))]
    before = sum(p.memory_info().rss for p in routers)
    with socket.create_connection(("127.0.0.1", service.port)) as sock:
        head = f"POST /v1/infer/narrator HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        sock.recv(1000)
        # It reads no more. The model may fill the buffers on the way, and then has to wait.
        settled = eventually(lambda: _settled(written), 30, every_s=0.5)
        grown = sum(p.memory_info().rss for p in routers) - before

    assert settled < 200
    assert grown < 100 << 20


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _settled(written: Path) -> int:
    """The megabytes written, once two looks a second apart see the same."""
    if not written.exists() or not written.read_text():
        return 0
    first = int(written.read_text())
    time.sleep(1.0)
    return first if int(written.read_text() or -1) == first else 0


def test_streams_survive_the_death_of_their_backup(service: Service) -> None:
    backup = service.replica("neverblank:Backup")
    engine = service.engine("neverblank:Backup")
    idle = engine.cpu_times().user
    streams: dict[str, Any] = {}

    def read() -> None:
        body = {"text": "Tell me a very long story.", "fault": "raise", "after": 0, "max_tokens": 300, "timeout": 20}
        streams["it"] = service.stream(body, "narrator")

    thread = threading.Thread(target=read)
    thread.start()
    eventually(lambda: engine.cpu_times().user > idle + 1.0, 10)  # it is writing
    backup.send_signal(signal.SIGKILL)
    thread.join()

    answer = streams["it"].answer
    assert answer["served_by"] in {"backup", "last_resort"}  # another replica of it, if it had scaled up, or nobody
    assert answer["attempts"][-1]["outcome"] == ("answered" if answer["served_by"] == "backup" else "failed")
    assert streams["it"].text.strip()
    service.wait_ready()
