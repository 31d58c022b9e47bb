"""Generation with transformers' continuous batching: the portable engine for many streams, and the engine for GPUs.

    greedy and sampled, with seeds and stop texts    in the batch: one forward pass writes a token for every request,
                                                     chosen by the request's own sampling (`batch_sampling`)
    grammars                                         in the batch: a mask is made for each of its requests before a step
    penalties, logit_bias, min_tokens                in the batch, request by request, from all tokens before the step
    logprobs                                         outside the batch, with `generate`

The manager of transformers runs in a thread of its own and hands each token to the event loop. It decides itself about
flash attention, which it uses on GPUs that have it.
"""

import asyncio
import itertools
import math
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any

from transformers import GenerationConfig

from deployments.generation import (
    BatchFullError,
    CannotLoadError,
    Generation,
    IncompleteGenerationError,
    Prompt,
    Sampling,
    Tokenization,
    TokenQuery,
    read_to_end,
)
from deployments.generation.batch_sampling import batch_logits_processors, processor_arguments
from deployments.generation.cache_size import batching_config
from deployments.generation.detokenizer import Detokenizer
from deployments.generation.grammar_matcher import TokenMatcher
from deployments.generation.logits import written_processors
from deployments.generation.prompts import PromptTokenizer
from deployments.generation.stopping import NO_END
from deployments.generation.transformers import TransformersGenerator

_WARM_UP_S = 120.0
_STOP_S = 5.0


class ContinuousGenerator:
    """A causal language model of transformers whose requests share a batch."""

    def __init__(
        self,
        model: Any,
        tokenizer: PromptTokenizer,
        unbatched: TransformersGenerator,
        *,
        capacity: int,
        gpu_share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over a loaded model and start its batch.

        Args:
            model: a `PreTrainedModel` on its device.
            tokenizer: encodes its prompts.
            unbatched: the same model, for requests that cannot be in the batch.
            capacity: the most requests in the batch; more are refused.
            gpu_share: the share of a GPU that this replica may use, above 0; 1 for all of it.
            clock: seconds since any moment.

        Raises:
            CannotLoadError: transformers cannot batch this model.
        """
        self._tokenizer = tokenizer
        self._unbatched = unbatched
        self._capacity = capacity
        self._clock = clock
        self._active = 0
        self._progress = unbatched.progress  # of the same model: its layers give signs of life in a batch, too
        self._in_batch: set[str] = set()
        self._leaving: set[str] = set()  # those of them that were cancelled, and leave with the batch's next step
        self._numbers = itertools.count()
        self._eos = model.generation_config.eos_token_id
        self._eos_ids = frozenset(self._eos if isinstance(self._eos, list) else [self._eos])
        try:
            self._manager = model.init_continuous_batching(
                generation_config=GenerationConfig(do_sample=False, eos_token_id=self._eos, max_new_tokens=1),
                continuous_batching_config=batching_config(model, tokenizer.context, capacity, gpu_share),
            )
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise CannotLoadError(f"{type(error).__name__}: {error}") from error
        self._manager.logit_processor = batch_logits_processors()
        # The manager's thread must not keep the process alive. A thread inherits being a daemon from its starter.
        starter = threading.Thread(target=self._manager.start, daemon=True)
        starter.start()
        starter.join()
        # Also at the end of the process: torch aborts a process that ends while a thread is in a step.
        self._stop = weakref.finalize(self, _stop_manager, self._manager)

    @property
    def chat_template(self) -> str:
        """See `TextGenerator`."""
        return self._tokenizer.chat_template

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`."""
        return await read_to_end(self.stream(prompt, sampling))

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. A slow reader does not slow the batch down: at most `max_tokens` wait to be read."""
        stream = self._stream if batchable(sampling) else self._unbatched.stream
        return stream(prompt, sampling)

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once in the batch, before the first request.

        Raises:
            CannotLoadError: that failed: the model cannot be batched.
        """
        tokens = self._tokenizer.encode(prompt, sampling.max_tokens).tokens
        self._manager.add_request(tokens, request_id="warm-up", max_new_tokens=sampling.max_tokens)
        output = self._manager.get_result("warm-up", timeout=_WARM_UP_S)
        if output is None or output.error:
            self._stop()
            reason = output.error if output else self._manager.background_thread_status.fatal_error
            raise CannotLoadError(f"its first tokens in a batch failed: {reason or 'they took too long'}")

    def close(self) -> None:
        """Stop the batch; requests in it fail. Garbage collection of the generator does the same."""
        self._stop()

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        """See `TextGenerator`."""
        return await self._unbatched.tokenization(query)

    def describe(self) -> dict[str, Any]:
        """The facts of the engine for unbatched requests, and how full the batch is."""
        facts = self._unbatched.describe()
        return {**facts, "batched": True, "active": self._active + facts["active"], "capacity": self._capacity}

    def stalled_s(self) -> float:
        """Seconds since a part of a layer last began, while there is a request; infinite once the batch has ended."""
        if not self._manager.is_running():
            return math.inf
        processor = self._manager.batch_processor
        if processor is None or not processor.has_pending_requests():
            self._end(self._leaving)
        return self._progress.stalled_s()

    async def _stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """Generate in the batch."""
        if self._active >= self._capacity:
            raise BatchFullError(f"its batch of {self._capacity} is full")
        self._active += 1
        request_id = f"{id(self)}-{next(self._numbers)}"
        deadline = self._clock() + sampling.budget_s
        detokenizer = Detokenizer.of(self._tokenizer.decode, sampling, prompt.prefix)
        texts: list[str] = []
        written, reason = 0, ""
        try:
            fitted = await asyncio.to_thread(self._tokenizer.encode, prompt, sampling.max_tokens)
            sampling = fitted.bound(sampling)
            matcher = await asyncio.to_thread(self._unbatched.matcher, sampling, prompt)
            outputs = self._add(request_id, fitted.tokens, sampling, matcher)
            while not reason:
                try:
                    async with asyncio.timeout(max(0.0, deadline - self._clock())):
                        output = await outputs.get()
                except TimeoutError:  # it waits for a place, its prompt is being read, or a step takes long
                    reason = "deadline"
                    break
                if output.error:
                    raise RuntimeError(f"the batch failed: {output.error}")
                for token in output.generated_tokens[written:]:
                    written += 1
                    if text := detokenizer.add(token):
                        texts.append(text)
                        yield text
                    if detokenizer.stopped:
                        break
                if matcher and matcher.fault:
                    raise IncompleteGenerationError(f"the text could not be held to its form: {matcher.fault}")
                reason = "stop" if detokenizer.stopped else self._finish_reason(output, sampling, deadline)
        finally:
            self._active -= 1
            self._manager.cancel_request(request_id)  # does nothing to a request that has finished
            self._manager.output_router.result_handlers.pop(request_id, None)
            self._leaving |= {request_id} & self._in_batch
        if rest := detokenizer.finish():
            texts.append(rest)
            yield rest
        text, stopped_at = "".join(texts), detokenizer.stopped_at
        yield Generation(text, len(fitted.tokens), written, reason, fitted.cut, stopped_at=stopped_at)

    def _add(
        self, request_id: str, tokens: list[int], sampling: Sampling, matcher: TokenMatcher | None
    ) -> asyncio.Queue[Any]:
        """Add a request to the batch; returns the queue of its outputs, each with all tokens written so far."""
        outputs: asyncio.Queue[Any] = asyncio.Queue()

        def take(output: Any) -> None:
            self._progress.advance()
            # Whether or not the outputs are read: a slow reader must not look like a batch that is stuck.
            self._end({request_id} | self._leaving if output.is_finished() else self._leaving)
            outputs.put_nowait(output)

        self._manager.register_result_handler(request_id, take)
        ends = NO_END if sampling.ignore_eos else self._eos
        written = written_processors(sampling, len(tokens), self._unbatched.end_tokens)
        options = {"streaming": True, "eos_token_id": ends, **processor_arguments(sampling, written, matcher)}
        if self._manager.add_request(tokens, request_id, sampling.max_tokens, **options) is None:
            raise RuntimeError(f"the batch has ended: {self._manager.background_thread_status.fatal_error}")
        self._in_batch.add(request_id)
        self._progress.begin()
        return outputs

    def _end(self, requests: set[str]) -> None:
        """Count requests as ended that the batch has let go of."""
        for request_id in requests & self._in_batch:
            self._in_batch.remove(request_id)
            self._progress.end()
        self._leaving -= requests

    def _finish_reason(self, output: Any, sampling: Sampling, deadline: float) -> str:
        """Why the request has ended with `output`; empty if it goes on.

        Raises:
            IncompleteGenerationError: transformers calls it finished without an end token, and below its limit.
        """
        if not output.is_finished():
            return "deadline" if self._clock() >= deadline else ""
        if len(output.generated_tokens) >= sampling.max_tokens:
            return "length"
        if self._eos_ids.isdisjoint(output.generated_tokens[-1:]):
            raise IncompleteGenerationError("transformers ended the request before its end")
        return "stop"


def _stop_manager(manager: Any) -> None:
    manager.stop(block=True, timeout=_STOP_S, hard_stop=True)


def batchable(sampling: Sampling) -> bool:
    """Whether a request with this sampling can be in the batch; the module's table says why others cannot."""
    return sampling.logprobs is None
