"""A fake engine that is loaded in a process of its own and there does what the prompt says."""

import asyncio
import ctypes
import math
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from deployments.generation import (
    CannotLoadError,
    Generation,
    Prompt,
    Sampling,
    Tokenization,
    TokenQuery,
    UnsupportedSamplingError,
    UnsupportedTurnsError,
    read_to_end,
)
from deployments.generation.grammar import FatalGrammarError


class Obedient:
    """Writes the words of a prompt, or does what they say."""

    chat_template = "{{ messages }}"

    def __init__(self, capacity: int = 4, load: str = "well") -> None:
        if load == "refuse":
            raise CannotLoadError("no such weights")
        if load == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        self._capacity = capacity
        self._stalled_s = 0.0

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        assert (prompt.text, sampling.max_tokens) == ("Hello", 2)

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        if query.prompt.text == "refuse":
            raise UnsupportedTurnsError("no such turns")
        return Tokenization(100, [len(word) for word in query.prompt.text.split()])

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        return await read_to_end(self.stream(prompt, sampling))

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        match prompt.text.split():
            case ["refuse"]:
                raise UnsupportedSamplingError("logit_bias")
            case ["break"]:
                self._stalled_s = math.inf
                raise FatalGrammarError
            case ["odd"]:
                raise OddError(1, 2)
            case ["hang", file]:
                try:
                    yield "I "
                    await asyncio.sleep(3600)
                finally:
                    Path(file).touch()  # noqa: ASYNC240 - nothing may be awaited here
            case ["think", file, stalled_s]:
                self._stalled_s = float(stalled_s)
                while not Path(file).exists():  # noqa: ASYNC110, ASYNC240 - the test is in another process
                    await asyncio.sleep(0.01)
                self._stalled_s = 0.0
                yield Generation("", 1, 0, "stop")
            case ["die"]:
                yield "I "
                os.kill(os.getpid(), signal.SIGKILL)
                await asyncio.sleep(3600)
            case ["half"]:
                os.write(int(sys.argv[1]), (16).to_bytes(4, "big") + b"half of")
                os.kill(os.getpid(), signal.SIGKILL)
            case ["hold"]:
                ctypes.PyDLL(None).usleep(500_000)  # keeps the interpreter lock, as OpenVINO's steps do
                yield "held"
            case words:
                for word in words:
                    yield word
                yield Generation("".join(words), len(prompt.text), len(words), "stop")

    def describe(self) -> dict[str, Any]:
        return {"engine": "obedient", "active": -1, "capacity": self._capacity}

    def stalled_s(self) -> float:
        return self._stalled_s


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")
