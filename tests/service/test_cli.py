"""The commands that talk to a running service."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.service.service import BIN, ROOT, Service


def neverblank(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(BIN) / "neverblank"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def test_ask_prints_the_answer_and_tells_beside_it_who_gave_it(service: Service) -> None:
    asked = neverblank("ask", "Hello", "--url", url(service), "--model", "faulty")

    assert (asked.returncode, asked.stdout) == (0, "faulty says: Hello\n")
    assert "primary: faulty" in asked.stderr


def test_ask_streams(service: Service) -> None:
    asked = neverblank("ask", "Hello", "--url", url(service), "--model", "narrator", "--stream")

    assert asked.stdout.startswith("word1 word2 word3")


def test_ask_gives_the_whole_answer_as_json(service: Service) -> None:
    asked = neverblank("ask", "Hello", "--url", url(service), "--model", "faulty", "--json")

    answer: dict[str, Any] = json.loads(asked.stdout)
    assert answer["served_by"] == "primary"


def test_a_request_that_is_malformed_is_explained_and_is_an_error(service: Service) -> None:
    asked = neverblank("ask", " ", "--url", url(service))

    assert asked.returncode == 1
    assert "text" in asked.stdout


def test_status_names_every_model_and_the_backup(service: Service) -> None:
    told = neverblank("status", "--url", url(service))
    as_json = json.loads(neverblank("status", "--url", url(service), "--json").stdout)

    assert all(name in told.stdout for name in ("smollm2", "faulty", "healthy", "(backup)"))
    assert {"models", "backup", "answers", "in_flight"} <= as_json.keys()


def test_a_service_that_is_not_there_is_said_so_without_a_traceback() -> None:
    for command in (["ask", "Hello"], ["status"]):
        told = neverblank(*command, "--url", "http://127.0.0.1:9")

        assert told.returncode == 1
        assert "no service answers at http://127.0.0.1:9" in told.stderr
        assert "Traceback" not in told.stderr
