"""Generation with transformers' `generate`, one thread for each request under way.

Stopping is the point of this module: a request whose caller has gone must give its cores back at once; see `ward`.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import torch
from transformers import StoppingCriteriaList

from deployments.generation import BatchFullError, Generation, Prompt, Sampling
from deployments.generation.pieces import Pieces, trailing_space
from deployments.generation.pipe import Pipe
from deployments.generation.prompts import fit
from deployments.generation.sampling import processors
from deployments.generation.ward import StoppedError, Ward, steps

WAITING = 3
"""How many requests may wait for each that is generated: beyond, another replica or tier answers sooner."""


class TransformersGenerator:
    """A causal language model of transformers."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        concurrency: int,
        chat: Literal["auto", "always", "never"] = "auto",
        long_prompt: Literal["refuse", "truncate"] = "refuse",
    ) -> None:
        """Take over a loaded model.

        Args:
            model: a `PreTrainedModel` on its device.
            tokenizer: its tokenizer.
            concurrency: requests generated at the same time. `WAITING` times as many wait; beyond, they are refused.
            chat: whether prompts go through the tokenizer's chat template.
            long_prompt: what becomes of a prompt beyond the model's context.

        Raises:
            ValueError: `chat` is `always`, and the tokenizer has no template.
        """
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat == "always" and not has_template:
            raise ValueError("chat: always is demanded, but the tokenizer has no chat template")
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._chat = has_template and chat != "never"
        self._truncate = long_prompt == "truncate"
        self._context = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 20)
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
            "device": str(self._model.device),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "context": self._context,
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
        ids = self._read(prompt, sampling)
        read = int(ids.shape[1])
        texts: list[str] = []

        def tell(text: str) -> None:
            texts.append(text)
            emit(text)

        pieces = Pieces(self._decode, sampling.stop, trailing_space(prompt.prefix))
        ward = Ward(read, sampling, given_up, pieces, tell)
        self._current.ward = ward
        self._count(+1)
        try:
            with torch.inference_mode():
                self._model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_tokens,
                    do_sample=False,
                    num_beams=1,
                    logits_processor=processors(sampling, read, self._model),
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

    def _read(self, prompt: Prompt, sampling: Sampling) -> torch.Tensor:
        ids = fit(self._encode(prompt), self._context, sampling.max_tokens, truncate=self._truncate)
        return torch.tensor([ids], dtype=torch.long, device=self._model.device)

    def _encode(self, prompt: Prompt) -> list[int]:
        """Tokens of the prompt, and of the prefix without its trailing white space.

        Models write a word together with the space before it: behind a space of its own they are lost.
        """
        turns = [dict(turn) for turn in prompt.messages]
        prefix = prompt.prefix.rstrip()
        if self._chat:
            turns = turns or [{"role": "user", "content": prompt.text}]
            begun = [{"role": "assistant", "content": prefix}] if prefix else []
            encoded = self._tokenizer.apply_chat_template(
                turns + begun, add_generation_prompt=not begun, continue_final_message=bool(begun), return_dict=True
            )
            return list(encoded["input_ids"])
        return list(self._tokenizer(prompt.as_text() + prefix)["input_ids"])

    def _decode(self, ids: Any) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

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
