"""Models that fail on demand. They run in replicas of a real Serve instance."""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class Faulty:
    """Does what the request's `fault` says; without one it answers."""

    async def infer(self, inputs: Mapping[str, Any]) -> Any:
        match inputs.get("fault"):
            case None:
                return f"faulty says: {inputs.get('text')}"
            case "raise":
                raise ValueError("this model is broken")
            case "hang":
                await asyncio.sleep(3600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
                await asyncio.sleep(3600)
            case "watch":
                return await _watch(Path(inputs["file"]))
            case "return":
                return inputs.get("value")
        raise AssertionError("no such fault")


async def _watch(file: Path) -> str:
    """Hang until cancelled, and say when that was."""
    file.with_suffix(".started").touch()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        file.write_text(repr(time.time()))  # noqa: ASYNC240 - a few bytes, and nothing may be awaited here
        raise
    return "never"


class Paced:
    """Answers after a tenth of a second to a quarter, however many ask."""

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        await asyncio.sleep(random.uniform(0.1, 0.25))  # noqa: S311 - a pace, no secret
        return f"paced says: {inputs.get('text')}"


class Blocking:
    """Blocks its thread, as a plain function that hangs would."""

    def infer(self, inputs: Mapping[str, Any]) -> Any:
        time.sleep(float(inputs.get("seconds", 0)))
        return "blocking says hello"


class Deadlocking:
    """A pickled object whose `predict` waits for itself, for ever, where a row says so."""

    def predict(self, rows: Sequence[Sequence[str]]) -> list[str]:
        if rows[0][0] == "deadlock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        return [f"deadlocking says {row[0]}" for row in rows]


class SlowToLoad:
    """Takes as long to load as no test waits for."""

    def __init__(self) -> None:
        time.sleep(3600)


class FailsToLoad:
    """Raises in its constructor."""

    def __init__(self) -> None:
        raise RuntimeError("no weights here")


WORDS = tuple(f"word{n} " for n in range(1, 61))
"""What `Narrator` says."""


class Narrator:
    """Streams `WORDS`, and does what the request's `fault` says after `after` of them.

    Asked for `megabytes`, it streams these instead, one at a time, and writes down how many were read.
    """

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        return "".join(WORDS)

    async def stream(self, inputs: Mapping[str, Any]) -> AsyncIterator[str]:
        for megabytes in range(int(inputs.get("megabytes", 0))):
            yield "x" * (1 << 20)
            Path(inputs["file"]).write_text(str(megabytes + 1))  # noqa: ASYNC240 - a few bytes
        after = int(inputs.get("after", 5))
        for place, word in enumerate(WORDS[: inputs.get("words", len(WORDS))]):
            if place == after:
                await _fault_in_stream(inputs)
            yield word
            await asyncio.sleep(float(inputs.get("pause", 0.02)))


async def _fault_in_stream(inputs: Mapping[str, Any]) -> None:
    match inputs.get("fault"):
        case None:
            return
        case "raise":
            raise ValueError("this model broke off")
        case "hang":
            await asyncio.sleep(3600)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(3600)
        case "watch":
            await _watch(Path(inputs["file"]))


class Versioned:
    """Says which version it is; may take its time to load, or fail to."""

    def __init__(self, version: int, load_seconds: float = 0.0, *, fail: bool = False) -> None:
        time.sleep(load_seconds)
        if fail:
            raise RuntimeError(f"no weights\nfor version {version}")
        self.version = version

    async def infer(self, inputs: Mapping[str, Any]) -> str:
        return f"version {self.version}: {inputs['text']} (process {os.getpid()})"
