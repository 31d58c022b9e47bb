"""Generation with transformers' `generate`, one thread for each request.

A request whose caller has gone gives its cores back at once: `stopping` has how.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import StoppingCriteriaList

from deployments.generation import (
    BatchFullError,
    Generation,
    IncompleteGenerationError,
    Prompt,
    Sampling,
    Tokenization,
    TokenQuery,
    read_to_end,
)
from deployments.generation.channel import Channel
from deployments.generation.detokenizer import Detokenizer
from deployments.generation.grammar_matcher import GrammarCompiler, HoldToGrammar, TokenMatcher
from deployments.generation.logits import LogprobRecorder, logits_processors
from deployments.generation.progress import Progress
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.stopping import NO_END, StopController, StoppedError, layer_modules

WAITING = 3
"""Requests that may wait for each that is being generated. Beyond that, another replica or model is faster."""


class TransformersGenerator:
    """A causal language model of transformers.

    Attributes:
        model: a `PreTrainedModel` on its device.
        tokenizer: encodes its prompts.
        end_tokens: the tokens that end an answer.
        progress: of the requests that are being generated; every part of a layer that begins is a sign of life.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PromptTokenizer,
        *,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over a loaded model.

        Args:
            model: a `PreTrainedModel` on its device.
            tokenizer: encodes its prompts.
            concurrency: requests generated at the same time. `WAITING` times as many may wait; more are refused.
            clock: seconds since any moment, by which budgets and `stalled_s` are measured.
        """
        self.model = model.eval()
        self.tokenizer = tokenizer
        ends = model.generation_config.eos_token_id
        self.end_tokens: list[int] = ends if isinstance(ends, list) else [] if ends is None else [ends]
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="generate")
        self._capacity = concurrency * (1 + WAITING)
        self._admitted = 0
        self._clock = clock
        self._current = threading.local()
        self._counting = threading.Lock()
        self._active = 0
        self._grammars = GrammarCompiler(
            tokenizer.source, model.config.get_text_config().vocab_size, _end_tokens(model)
        )
        self.progress = Progress(clock)
        for module in layer_modules(model):
            module.register_forward_pre_hook(self._before_module)

    @property
    def chat_template(self) -> str:
        """See `TextGenerator`."""
        return self.tokenizer.chat_template

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`."""
        return await read_to_end(self.stream(prompt, sampling))

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. A reader that stops reading makes the generation wait."""
        if self._admitted >= self._capacity:
            raise BatchFullError(f"{self._capacity} requests are under way or wait")
        given_up = threading.Event()
        channel = Channel(given_up, self.progress)
        loop = asyncio.get_running_loop()
        deadline = self._clock() + sampling.budget_s  # the time in the queue is a part of it
        work = loop.run_in_executor(self._threads, self._generate, prompt, sampling, deadline, given_up, channel.put)
        self._admitted += 1
        work.add_done_callback(lambda _: self._end(channel))
        try:
            async for text in channel:
                yield text
            yield await work
        finally:
            given_up.set()
            work.cancel()  # if it still waits for a thread, it leaves the queue

    def matcher(self, sampling: Sampling, prompt: Prompt) -> TokenMatcher | None:
        """What holds the answer to `prompt` to the grammar of `sampling`, where it has one. Blocks: it is compiled.

        Raises:
            GrammarError: the answer cannot be held to it.
        """
        return self._grammars.matcher(sampling.grammar, prompt.prefix) if sampling.grammar else None

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once on the calling thread, so that the first request does not pay for initialisation."""
        self._generate(prompt, sampling, self._clock() + sampling.budget_s, threading.Event(), lambda _: None)

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        """See `TextGenerator`."""
        return await asyncio.to_thread(self.tokenizer.tokenization, query)

    def describe(self) -> dict[str, Any]:
        """Engine, device, precision and context."""
        return {
            "engine": "transformers",
            "device": str(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "context": self.tokenizer.context,
            "active": self._active,
        }

    def stalled_s(self) -> float:
        """Seconds since a part of a layer last began, while a request is being generated; 0 while none is."""
        return self.progress.stalled_s()

    def _end(self, channel: Channel) -> None:
        self._admitted -= 1
        channel.close()

    def _generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        deadline: float,
        given_up: threading.Event,
        emit: Callable[[str], None],
    ) -> Generation:
        with self.progress.work():
            return self._write(prompt, sampling, deadline, given_up, emit)

    def _write(
        self,
        prompt: Prompt,
        sampling: Sampling,
        deadline: float,
        given_up: threading.Event,
        emit: Callable[[str], None],
    ) -> Generation:
        fitted = self.tokenizer.encode(prompt, sampling.max_tokens)
        sampling = fitted.bound(sampling)
        matcher = self.matcher(sampling, prompt)
        ids = torch.tensor([fitted.tokens], dtype=torch.long, device=self.model.device)
        read = len(fitted.tokens)
        texts: list[str] = []

        def keep_and_emit(text: str) -> None:
            texts.append(text)
            emit(text)

        detokenizer = Detokenizer.of(self.tokenizer.decode, sampling, prompt.prefix)
        controller = StopController(read, deadline, self._clock, given_up, detokenizer, keep_and_emit)
        odds = LogprobRecorder(sampling.logprobs, self.tokenizer.text_of)
        processors = logits_processors(sampling, read, self.end_tokens)
        if matcher:
            processors.insert(0, HoldToGrammar(matcher, read))
        if sampling.logprobs is not None:
            processors.insert(0, odds)
        self._current.controller = controller
        self._count(+1)
        try:
            with torch.inference_mode():
                self.model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_tokens,
                    do_sample=False,
                    num_beams=1,
                    repetition_penalty=1.0,  # the request's own is among the processors
                    eos_token_id=NO_END if sampling.ignore_eos or not self.end_tokens else self.end_tokens,
                    logits_processor=processors,
                    stopping_criteria=StoppingCriteriaList([controller]),
                    streamer=controller,
                )
        except StoppedError:
            return Generation("".join(texts), read, controller.written, "deadline", fitted.cut)
        finally:
            self._current.controller = None
            self._count(-1)
        if matcher and matcher.fault:
            raise IncompleteGenerationError(f"the text could not be held to its form: {matcher.fault}")
        if rest := detokenizer.finish():
            keep_and_emit(rest)
        reason = _finish_reason(controller, detokenizer, sampling)
        told = odds.read(controller.tokens) if sampling.logprobs is not None else ()
        stopped_at = detokenizer.stopped_at
        return Generation("".join(texts), read, controller.written, reason, fitted.cut, told, stopped_at)

    def _count(self, change: int) -> None:
        with self._counting:
            self._active += change

    def _before_module(self, *_: Any) -> None:
        controller: StopController | None = getattr(self._current, "controller", None)
        self.progress.advance()
        if controller is not None:
            controller.before_module()


def _end_tokens(model: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    return [end for end in (ends if isinstance(ends, list) else [ends]) if end is not None]


def _finish_reason(controller: StopController, detokenizer: Detokenizer, sampling: Sampling) -> str:
    if detokenizer.stopped:
        return "stop"
    if controller.out_of_time:
        return "deadline"
    return "length" if controller.written >= sampling.max_tokens else "stop"
