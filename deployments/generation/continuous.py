"""Generation with transformers' continuous batching: the portable engine for many streams at once, and that of GPUs.

    greedy and sampled, with seeds and stop texts    in the batch: one forward pass writes a token for every request,
                                                     which is then chosen by the request's own sampling (`company`)
    penalties, logit_bias                            beside it, with `generate`: they want what was written before

A repetition penalty that is the model's own (`generation_config.json`) is for the same reason not applied in the batch.

The manager runs in a thread of its own and hands each token to the event loop; flash attention and CUDA graphs are its
own decisions, taken where there is a GPU for them.
"""

import asyncio
import itertools
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from math import ceil
from typing import Any

from transformers import ContinuousBatchingConfig, GenerationConfig

from deployments.generation import BatchFullError, CannotLoadError, Generation, Prompt, Sampling
from deployments.generation.batch_sampling import choosers, sampled
from deployments.generation.detokenizer import Pieces, trailing_space
from deployments.generation.tokens import Tokens
from deployments.generation.transformers import TransformersGenerator

CACHE_BYTES = 1 << 30
"""For keys and values of all requests, on a CPU; taken from memory as it is used. On a GPU it is a share of what is
free there."""

_GPU_SHARE = 0.8
_BATCHED_TOKENS = 256  # of prompts in one step, on a CPU: more would hold up those that are writing
_PAGE_TOKENS = 64
_WARM_UP_S = 120.0
_LEAVE_S = 5.0


class ContinuousGenerator:
    """A causal language model of transformers whose requests share a batch."""

    def __init__(
        self,
        model: Any,
        tokens: Tokens,
        beside: TransformersGenerator,
        *,
        capacity: int,
        gpu_share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over a loaded model, and try whether it can be batched.

        Args:
            model: a `PreTrainedModel` on its device.
            tokens: reads its prompts.
            beside: the same model, for requests that cannot be in the batch.
            capacity: requests in the batch; more are refused.
            gpu_share: the share of a GPU that is meant for this replica, above 0; 1 for all of it.
            clock: seconds since any moment.

        Raises:
            CannotLoadError: it cannot be batched.
        """
        self._tokens = tokens
        self._beside = beside
        self._capacity = capacity
        self._clock = clock
        self._active = 0
        self._numbers = itertools.count()
        self._eos = model.generation_config.eos_token_id
        try:
            self._manager = model.init_continuous_batching(
                generation_config=GenerationConfig(do_sample=False, eos_token_id=self._eos, max_new_tokens=1),
                continuous_batching_config=batching(model, tokens.context, capacity, gpu_share),
            )
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise CannotLoadError(f"{type(error).__name__}: {error}") from error
        self._manager.logit_processor = choosers(getattr(model.generation_config, "top_k", None) or 0)
        # A thread is a daemon if the one that starts it is: this one must not keep a process alive.
        starter = threading.Thread(target=self._manager.start, daemon=True)
        starter.start()
        starter.join()
        # Also when the process ends: torch aborts it where a thread is in the midst of a step.
        self._end = weakref.finalize(self, _stop, self._manager)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`."""
        if not batchable(sampling):
            return await self._beside.generate(prompt, sampling)
        generation: Generation | None = None
        async for item in self.stream(prompt, sampling):
            if isinstance(item, Generation):
                generation = item
        assert generation is not None  # noqa: S101 - the last item of every stream
        return generation

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. What nobody reads yet waits, at most `max_tokens` of it: a batch waits for nobody."""
        if not batchable(sampling):
            async for item in self._beside.stream(prompt, sampling):
                yield item
            return
        if self._active >= self._capacity:
            raise BatchFullError(f"its batch of {self._capacity} is full")
        self._active += 1
        name = f"{id(self)}-{next(self._numbers)}"
        try:
            ends = self._clock() + sampling.budget_s
            read = await asyncio.to_thread(self._tokens.read, prompt, sampling.max_tokens)
            async for item in self._written(name, read, prompt, sampling, ends):
                yield item
        finally:
            self._active -= 1
            self._manager.output_router.result_handlers.pop(name, None)

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once in the batch, before the first request.

        Raises:
            CannotLoadError: that failed: the model cannot be batched.
        """
        read = self._tokens.read(prompt, sampling.max_tokens)
        self._manager.add_request(read, request_id="warm-up", max_new_tokens=sampling.max_tokens)
        output = self._manager.get_result("warm-up", timeout=_WARM_UP_S)
        if output is None or output.error:
            self._end()
            reason = output.error if output else self._manager.background_thread_status.fatal_error
            raise CannotLoadError(f"its first tokens in a batch failed: {reason or 'they took too long'}")

    def in_batch(self) -> bool:
        """Whether the batch holds any request, given up or not."""
        processor = self._manager.batch_processor
        return processor is not None and processor.has_pending_requests()

    def close(self) -> None:
        """End the batch; what is in it fails. It ends by itself when nothing holds this any more."""
        self._end()

    def describe(self) -> dict[str, Any]:
        """As the engine beside it, and how full the batch is."""
        beside = self._beside.describe()
        return {**beside, "batched": True, "active": self._active + beside["active"], "capacity": self._capacity}

    async def _written(
        self, name: str, read: list[int], prompt: Prompt, sampling: Sampling, ends: float
    ) -> AsyncGenerator[str | Generation, None]:
        pieces = Pieces(self._tokens.text, sampling.stop, trailing_space(prompt.prefix))
        outputs: asyncio.Queue[Any] = asyncio.Queue()
        self._manager.register_result_handler(name, outputs.put_nowait)
        options = {"streaming": True, "eos_token_id": self._eos, **sampled(sampling)}
        if self._manager.add_request(read, name, sampling.max_tokens, **options) is None:
            raise RuntimeError(f"the batch has ended: {self._manager.background_thread_status.fatal_error}")
        texts: list[str] = []
        written, reason = 0, ""
        try:
            while not reason:
                output = await outputs.get()
                if output.error:
                    raise RuntimeError(f"the batch failed: {output.error}")
                for token in output.generated_tokens[written:]:
                    written += 1
                    if text := pieces.add(token):
                        texts.append(text)
                        yield text
                    if pieces.stopped:
                        break
                reason = self._reason(output, pieces, written, sampling, ends)
        finally:
            self._manager.cancel_request(name)  # of one that has ended there is nothing left to cancel
        if rest := pieces.finish():
            texts.append(rest)
            yield rest
        yield Generation("".join(texts), len(read), written, reason)

    def _reason(self, output: Any, pieces: Pieces, written: int, sampling: Sampling, ends: float) -> str:
        """The finish reason; empty while it goes on."""
        if pieces.stopped:
            return "stop"
        if output.is_finished():
            return "length" if written >= sampling.max_tokens else "stop"
        return "deadline" if self._clock() >= ends else ""


def _stop(manager: Any) -> None:
    manager.stop(block=True, timeout=_LEAVE_S, hard_stop=True)


def batchable(sampling: Sampling) -> bool:
    """Whether a request can be in the batch: see the module's table."""
    return not (sampling.presence_penalty or sampling.frequency_penalty or sampling.logit_bias)


def batching(model: Any, context: int, capacity: int, gpu_share: float) -> ContinuousBatchingConfig:
    """How transformers is to batch `model`: on a CPU by bounds of ours, on a GPU by what it finds there."""
    if model.device.type != "cpu":
        share = _GPU_SHARE * min(1.0, gpu_share)
        return ContinuousBatchingConfig(max_requests_per_batch=capacity, max_memory_percent=share)
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    block = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize * _PAGE_TOKENS
    return ContinuousBatchingConfig(
        page_size=_PAGE_TOKENS,
        # No more than all of them can fill: each step's mask is as wide as the cache.
        num_blocks=max(2 * capacity, min(ceil(CACHE_BYTES / block), capacity * ceil(context / _PAGE_TOKENS))),
        max_batch_tokens=max(_BATCHED_TOKENS, capacity),
        max_requests_per_batch=capacity,
        use_cuda_graph=False,
        use_async_batching=False,
    )
