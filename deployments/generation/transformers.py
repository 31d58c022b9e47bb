"""Generation with transformers' `generate`, one thread for each request under way.

Stopping is the point of this module: a request whose caller has gone must give its cores back at once; see `ward`.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import StoppingCriteriaList

from deployments.generation import BatchFullError, Generation, Prompt, Sampling
from deployments.generation.channel import Pipe
from deployments.generation.detokenizer import Pieces, trailing_space
from deployments.generation.logits import processors
from deployments.generation.stopping import StoppedError, Ward, steps
from deployments.generation.tokens import Tokens

WAITING = 3
"""How many requests may wait for each that is generated: beyond, another replica or tier answers sooner."""


class TransformersGenerator:
    """A causal language model of transformers.

    Attributes:
        model: a `PreTrainedModel` on its device.
        tokens: reads its prompts.
    """

    def __init__(
        self,
        model: Any,
        tokens: Tokens,
        *,
        concurrency: int,
    ) -> None:
        """Take over a loaded model.

        Args:
            model: a `PreTrainedModel` on its device.
            tokens: reads its prompts.
            concurrency: requests generated at the same time. `WAITING` times as many wait; beyond, they are refused.
        """
        self.model = model.eval()
        self.tokens = tokens
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="generate")
        self._capacity = concurrency * (1 + WAITING)
        self._admitted = 0
        self._current = threading.local()
        self._counting = threading.Lock()
        self._active = 0
        for step in steps(model):
            step.register_forward_pre_hook(self._before_step)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`. Reading the prompt's tokens is left to the thread, too."""
        given_up = threading.Event()
        try:
            return await self._started(prompt, sampling, given_up, _ignore)
        finally:
            given_up.set()

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`."""
        given_up = threading.Event()
        pipe = Pipe(given_up)
        work = self._started(prompt, sampling, given_up, pipe.put)
        work.add_done_callback(lambda _: pipe.close())
        try:
            async for text in pipe:
                yield text
            yield await work
        finally:
            given_up.set()

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once on the calling thread, so that the first request pays for no initialisation."""
        self._generate(prompt, sampling, threading.Event(), _ignore)

    def describe(self) -> dict[str, Any]:
        """Engine, device, precision and context."""
        return {
            "engine": "transformers",
            "device": str(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "context": self.tokens.context,
            "active": self._active,
        }

    def _started(
        self, prompt: Prompt, sampling: Sampling, given_up: threading.Event, emit: Callable[[str], None]
    ) -> "asyncio.Future[Generation]":
        if self._admitted >= self._capacity:
            raise BatchFullError(f"{self._capacity} requests are under way or wait")
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._generate, prompt, sampling, given_up, emit
        )
        self._admitted += 1
        work.add_done_callback(self._left)
        return work

    def _left(self, _: object) -> None:
        self._admitted -= 1

    def _generate(
        self, prompt: Prompt, sampling: Sampling, given_up: threading.Event, emit: Callable[[str], None]
    ) -> Generation:
        tokens = self.tokens.read(prompt, sampling.max_tokens)
        ids = torch.tensor([tokens], dtype=torch.long, device=self.model.device)
        read = int(ids.shape[1])
        texts: list[str] = []

        def tell(text: str) -> None:
            texts.append(text)
            emit(text)

        pieces = Pieces(self.tokens.text, sampling.stop, trailing_space(prompt.prefix))
        ward = Ward(read, sampling, given_up, pieces, tell)
        self._current.ward = ward
        self._count(+1)
        try:
            with torch.inference_mode():
                self.model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_tokens,
                    do_sample=False,
                    num_beams=1,
                    logits_processor=processors(sampling, read, self.model),
                    stopping_criteria=StoppingCriteriaList([ward]),
                    streamer=ward,
                )
        except StoppedError:
            return Generation("".join(texts), read, ward.written, "deadline")
        finally:
            self._current.ward = None
            self._count(-1)
        if rest := pieces.finish():
            tell(rest)
        return Generation("".join(texts), read, ward.written, _finish_reason(ward, pieces, sampling))

    def _count(self, change: int) -> None:
        with self._counting:
            self._active += change

    def _before_step(self, *_: Any) -> None:
        ward = getattr(self._current, "ward", None)
        if ward is not None:
            ward.before_step()


def _ignore(_: str) -> None:
    """Nobody reads along."""


def _finish_reason(ward: Ward, pieces: Pieces, sampling: Sampling) -> str:
    if pieces.stopped:
        return "stop"
    if ward.out_of_time:
        return "deadline"
    return "length" if ward.written >= sampling.max_tokens else "stop"
