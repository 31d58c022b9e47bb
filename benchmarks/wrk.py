"""Load by wrk (Debian: apt-get install wrk): in C, so that the generator is not what is measured."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """One run: latencies in milliseconds, and requests a second."""

    p50_ms: float
    p99_ms: float
    requests_s: float


def post(
    url: str, body: Mapping[str, Any], connections: int, seconds: int, headers: Mapping[str, str] | None = None
) -> Load:
    """POST `body` over so many connections, one request after the other on each.

    Raises:
        RuntimeError: wrk is not there, or something else than 2xx was answered.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is not installed (Debian: apt-get install wrk)")
    lines = ['wrk.method = "POST"', f"wrk.body = {_quoted(json.dumps(body))}"]
    for name, value in {"content-type": "application/json", **(headers or {})}.items():
        lines.append(f"wrk.headers[{_quoted(name)}] = {_quoted(value)}")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text("\n".join(lines))
        command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in printed:
        raise RuntimeError(f"{url} answered with errors:\n{printed}")
    return Load(_latency(printed, 50), _latency(printed, 99), float(_found(r"Requests/sec:\s+([\d.]+)", printed)[1]))


def _latency(printed: str, percent: int) -> float:
    found = _found(rf"{percent}%\s+([\d.]+)(us|ms|s)", printed)
    return float(found[1]) * _UNITS[found[2]]


def _found(pattern: str, printed: str) -> re.Match[str]:
    found = re.search(pattern, printed)
    if found is None:
        raise RuntimeError(f"wrk printed something else than expected:\n{printed}")
    return found


def _quoted(text: str) -> str:
    """A Lua string; JSON's escapes are a part of Lua's for what is ASCII."""
    return json.dumps(text)
