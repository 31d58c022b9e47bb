"""Runs clients in the environments of their own (`make clients`) against a service, and tells what has passed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.clients.relay import Relay
from tests.service.service import ROOT

SCRIPTS = ROOT / "tests/clients"
INSTALLED = ROOT / "cache/clients"
_LONGEST_S = 240.0
_REPORT = '{"name":'
"""The beginning of what a script reports; packages print warnings beside it."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client, and its tests.

    Attributes:
        package: its name where it comes from.
        environment: the folder of its environment; empty for that of these tests.
        script: its tests; in JavaScript, files that are run as one.
    """

    package: str
    environment: str
    script: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its row in the table."""
        return f"`{self.package}` ({'JavaScript' if self.in_javascript else 'Python'})"

    @property
    def in_javascript(self) -> bool:
        """It runs on Node; else on Python."""
        return self.script[-1].endswith(".mjs")


CLIENTS = (
    Client("openai", "", ("openai_sdk.py",)),
    Client("anthropic", "", ("anthropic_sdk.py",)),
    Client("langchain-openai", "agents", ("langchain_suite.py",)),
    Client("pydantic-ai-slim", "agents", ("pydantic_ai_agents.py",)),
    Client("openai-agents", "agents", ("openai_agents.py",)),
    Client("instructor", "instructor", ("instructor_forms.py",)),
    Client("cohere", "agents", ("cohere_rank.py",)),
    Client("openai", "node", ("openai.mjs",)),
    Client("@ai-sdk/openai", "node", ("ai.mjs", "ai_openai.mjs")),
    Client("@ai-sdk/openai-compatible", "node", ("ai.mjs", "ai_openai_compatible.mjs")),
    Client("@ai-sdk/anthropic", "node", ("ai.mjs", "ai_anthropic.mjs")),
    Client("@ai-sdk/cohere", "node", ("ai_cohere.mjs",)),
)

MEASURING = (
    Client("litellm", "tools", ("litellm_sdk.py",)),
    Client("llm", "tools", ("llm_command.py",)),
    Client("guidellm", "tools", ("guidellm_load.py",)),
    Client("lm-eval", "tools", ("lm_eval_task.py",)),
)
"""Those of `make soak`: their environment is large."""


@dataclass(frozen=True, slots=True)
class Result:
    """What has come of a client's tests.

    Attributes:
        client: the client's row in the table.
        version: the client's.
        passed: the names of what has passed.
        skipped: the names of what was skipped.
    """

    client: str
    version: str
    passed: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def run(client: Client, port: int, results: Path) -> Result:
    """Run the tests of `client` against the service at `port`; `results` is a file that may be written.

    Raises:
        AssertionError: one of them has failed, or was answered by anybody but the model that it asks.
    """
    return _run_in_node(client, port) if client.in_javascript else _run_in_python(client, port, results)


def _run_in_python(client: Client, port: int, results: Path) -> Result:
    python = INSTALLED / client.environment / "bin/python" if client.environment else Path(sys.executable)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "NEVERBLANK_URL": f"http://127.0.0.1:{port}",
        "NEVERBLANK_CLIENT": client.package,
        "NEVERBLANK_RESULTS": str(results),
    }
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-c",
        str(SCRIPTS / "pytest.ini"),
        "-p",
        "no:cacheprovider",
        *client.script,
    ]
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=SCRIPTS, env=environment, capture_output=True, text=True, timeout=_LONGEST_S, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    told = json.loads(results.read_text())
    return Result(client.title, told["version"], tuple(told["passed"]), tuple(told["skipped"]))


def _run_in_node(client: Client, port: int) -> Result:
    folder = INSTALLED / client.environment
    relay = Relay(port)
    code = "\n".join((SCRIPTS / script).read_text() for script in ("harness.mjs", *client.script))
    environment = {"PATH": os.environ["PATH"], "NEVERBLANK_URL": relay.url}
    try:
        done = subprocess.run(
            ["node", "--input-type=module", "-"],  # noqa: S607 - the machine's
            input=code, cwd=folder, env=environment, capture_output=True, text=True, timeout=_LONGEST_S, check=False,
        )  # fmt: skip
    finally:
        relay.close()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(_REPORT)]
    failed = "\n".join(f"{each['name']}: {each['error']}" for each in told if each["error"])
    assert not failed, failed
    relay.require_models()
    package = json.loads((folder / "node_modules" / client.package / "package.json").read_text())
    return Result(client.title, package["version"], tuple(each["name"] for each in told))
