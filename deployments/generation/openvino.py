"""Generation with OpenVINO GenAI's continuous batching: the fast engine of CPUs, from GGUF files as they are.

Weights stay as they are in the file, quantised ones, too, which is where its speed comes from. Greedy answers of both
engines begin alike, and part where two tokens are nearly as likely. A `seed` is passed on, but means something only
while nothing else is in the batch: requests share one generator of random numbers.
"""

import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import openvino_genai as genai
from openvino import Tensor

from deployments.generation import CannotLoadError, Generation, Prompt, Sampling, UnsupportedSamplingError
from deployments.generation.batch import Batch, Member
from deployments.generation.detokenizer import Pieces, trailing_space
from deployments.generation.prompts import fit

CACHE_GIGABYTES = 1
"""For keys and values of all requests of a replica; taken from memory as it is used."""

_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""How it computes; what it multiplies it rounds to 8 bits in groups of 32. Left to itself it takes bfloat16 where the
CPU has that: there SmolLM2 wrote 69, 293 and 861 tokens/s at 1, 8 and 32 streams instead of 98, 445 and 885, and its
greedy answers agreed with float32 weights for 11.5 instead of 14.6 tokens of 20. Only prompts are read faster in
bfloat16: 256 tokens in 0.08 instead of 0.12 s, 1,024 in 0.34 instead of 0.57 s."""

_BATCHED_TOKENS = 256  # of prompts in one step: more would hold up those that are writing


class OpenVINOGenerator:
    """A language model out of a GGUF file, or in OpenVINO's own form."""

    def __init__(
        self,
        file: Path,
        *,
        context: int,
        capacity: int,
        threads: int = 0,
        chat: Literal["auto", "always", "never"] = "auto",
        long_prompt: Literal["refuse", "truncate"] = "refuse",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the model in `file`.

        Args:
            file: a GGUF file (see `sources.converted` for which are read faithfully), or the folder of a model in
                OpenVINO's own form.
            context: tokens the model was made for.
            capacity: requests generated at the same time; more are refused.
            threads: CPU threads; 0 leaves it to OpenVINO.
            chat: whether prompts go through the file's chat template.
            long_prompt: what becomes of a prompt beyond the model's context.
            clock: seconds since any moment.

        Raises:
            CannotLoadError: OpenVINO cannot make a model of the file.
            ValueError: `chat` is `always`, and the file has no template.
        """
        try:
            self._pipeline = genai.ContinuousBatchingPipeline(
                str(file),
                _scheduling(capacity),
                "CPU",
                _FLOAT32 | ({"INFERENCE_NUM_THREADS": threads} if threads else {}),
            )
        except (RuntimeError, LookupError, ValueError) as error:  # what its C++ throws comes as any of these
            raise CannotLoadError(" ".join(f"{type(error).__name__}: {error}".split())) from error
        self._tokenizer = self._pipeline.get_tokenizer()
        has_template = bool(self._tokenizer.chat_template)
        if chat == "always" and not has_template:
            raise ValueError("chat: always is demanded, but the file has no chat template")
        self._chat = has_template and chat != "never"
        self._truncate = long_prompt == "truncate"
        self._context = context
        self._capacity = capacity
        self._clock = clock
        self._texts = _Texts(self._tokenizer)
        self._engine = _Engine(self._pipeline, self._texts)
        self._batch = Batch(self._engine, capacity, clock)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`."""
        member = self._admitted(prompt, sampling)
        try:
            while not isinstance(item := await member.next(), Generation):
                pass
        finally:
            member.given_up = True
        return item

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. What nobody reads yet waits, at most `max_tokens` of it: a batch waits for nobody."""
        member = self._admitted(prompt, sampling)
        try:
            while not isinstance(item := await member.next(), Generation):
                yield item
            yield item
        finally:
            member.given_up = True

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once on the calling thread, before the first request: OpenVINO compiles as it first runs."""
        request = self._engine.add(self._encode(prompt), sampling)
        while not request.finished():
            self._engine.step()
            request.read()

    def describe(self) -> dict[str, Any]:
        """Engine, device, and how full its batch is."""
        return {
            "engine": "openvino",
            "device": "cpu",
            "dtype": "as in the file",
            "context": self._context,
            "active": self._batch.active,
            "capacity": self._capacity,
        }

    def _admitted(self, prompt: Prompt, sampling: Sampling) -> Member:
        if sampling.logit_bias:
            raise UnsupportedSamplingError("logit_bias cannot be given to the openvino engine")
        tokens = fit(self._encode(prompt), self._context, sampling.max_tokens, truncate=self._truncate)
        pieces = Pieces(self._texts.of, sampling.stop, trailing_space(prompt.prefix))
        member = Member(tokens, sampling, pieces, self._clock())
        self._batch.add(member)
        return member

    def _encode(self, prompt: Prompt) -> list[int]:
        """Tokens of the prompt, and of the prefix without its trailing white space; see `TransformersGenerator`."""
        turns = [dict(turn) for turn in prompt.messages]
        prefix = prompt.prefix.rstrip()
        if self._chat:
            turns = turns or [{"role": "user", "content": prompt.text}]
            text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True)
            return self._tokens(text + prefix, special=False)
        return self._tokens(prompt.as_text() + prefix, special=True)

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=special).input_ids
        return [int(token) for token in ids.data[0]]


class _Texts:
    """The texts of tokens. One call for 64 windows takes OpenVINO 0.06 ms, and one for a single window 0.04."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._foreseen: dict[tuple[int, ...], str] = {}

    def foresee(self, windows: Sequence[Sequence[int]]) -> None:
        keys = [key for key in {tuple(window) for window in windows} if key]
        texts = self._tokenizer.decode([list(key) for key in keys]) if keys else ()
        self._foreseen = dict(zip(keys, texts, strict=True))

    def of(self, tokens: Sequence[int]) -> str:
        if not tokens:
            return ""
        text = self._foreseen.get(tuple(tokens))
        return str(self._tokenizer.decode(list(tokens))) if text is None else text


class _Engine:
    """The pipeline as `Batch` wants it."""

    def __init__(self, pipeline: Any, texts: _Texts) -> None:
        self._pipeline = pipeline
        self.foresee = texts.foresee
        self._number = 0

    def add(self, tokens: Sequence[int], sampling: Sampling) -> "_Request":
        import numpy as np

        self._number += 1
        ids = Tensor(np.array([tokens], dtype=np.int64))
        return _Request(self._pipeline.add_request(self._number, ids, _configured(sampling)))

    def step(self) -> None:
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()


class _Request:
    """A handle of the pipeline's as `Batch` wants it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._reason = ""

    def read(self) -> Sequence[int]:
        tokens: list[int] = []
        while self._handle.can_read():
            for output in self._handle.read().values():
                tokens += output.generated_ids
                self._reason = _REASONS.get(output.finish_reason, self._reason)
        return tokens

    def finished(self) -> str:
        return "" if self._handle.get_status() == _RUNNING else self._reason or "stop"

    def cancel(self) -> None:
        if self._handle.get_status() == _RUNNING:
            self._handle.cancel()


_RUNNING = genai.GenerationStatus.RUNNING
_REASONS = {genai.GenerationFinishReason.STOP: "stop", genai.GenerationFinishReason.LENGTH: "length"}


def _scheduling(capacity: int) -> Any:
    scheduling = genai.SchedulerConfig()
    scheduling.max_num_seqs = capacity
    scheduling.max_num_batched_tokens = max(_BATCHED_TOKENS, capacity)
    scheduling.cache_size = CACHE_GIGABYTES
    scheduling.enable_prefix_caching = True
    return scheduling


def _configured(sampling: Sampling) -> Any:
    """Stop texts are not passed on: `Pieces` finds them, wherever tokens end."""
    config = genai.GenerationConfig()
    config.max_new_tokens = sampling.max_tokens
    config.do_sample = sampling.temperature > 0
    if config.do_sample:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        # Its own default is 0 for everybody.
        config.rng_seed = random.getrandbits(31) if sampling.seed is None else sampling.seed
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    return config
