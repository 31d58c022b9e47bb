"""Generation with OpenVINO GenAI's continuous batching: the fast engine for CPUs.

It computes with the quantised weights of a GGUF file, which is where its speed comes from. Its greedy answers begin
like those of transformers and part where two tokens are nearly equally likely.

Each request draws from a random number generator of its own, which its `seed` begins. What it draws from is not
the same to the last bit twice: the logits depend on how many requests are in the step, and on how much of the prompt
comes from the cache. OpenVINO draws by adding probabilities up in the order of the vocabulary, so at a high
temperature a difference that small often leads to another token. So a seed repeats an answer only to a request that is
alone in the batch and finds in the cache what the earlier one found.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import openvino_genai as genai

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
from deployments.generation.batch import Batch
from deployments.generation.detokenizer import Detokenizer, StepDecoder
from deployments.generation.openvino_engine import OpenVINOEngine, scheduler_config
from deployments.generation.openvino_grammar import WRITTEN, check_grammar
from deployments.generation.prompt_lookup import NO_LOOKUP, PromptLookup
from deployments.generation.prompts import (
    FittedPrompt,
    entries_of,
    fit_to_context,
    not_taken,
    require_known,
    split_text,
)
from deployments.generation.sequence import BatchedSequence

_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""The precision of activations; matrices are multiplied in groups of 32 values rounded to 8 bits. By default OpenVINO
takes bfloat16 where the CPU has it. There, SmolLM2 wrote 69, 293 and 861 tokens/s at 1, 8 and 32 streams instead of 98,
445 and 885, and its greedy answers agreed with float32 weights for 11.5 instead of 14.6 tokens of 20. Only prompts are
read faster in bfloat16: 256 tokens in 0.08 instead of 0.12 s, 1,024 in 0.34 instead of 0.57 s."""

_MOST_TOKENS_OF_A_CHARACTER = 4  # one for each of its bytes

_LARGE_PROMPT = 1 << 14
"""Characters from which on a prompt is encoded beside the event loop: these take 8 ms, and a million takes 0.4 s."""


class OpenVINOGenerator:
    """A language model from a GGUF file, or in OpenVINO's IR format.

    Attributes:
        chat_template: as in `TextGenerator`.
    """

    def __init__(
        self,
        file: Path,
        *,
        context: int,
        capacity: int,
        threads: int = 0,
        chat: Literal["auto", "always", "never"] = "auto",
        long_prompt: Literal["refuse", "truncate"] = "refuse",
        lookup: PromptLookup = NO_LOOKUP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the model in `file`.

        Args:
            file: a GGUF file (`sources.gguf_q8` says which are read correctly), or the folder of a model in IR format.
            context: the model's context, in tokens.
            capacity: the most requests at the same time; more are refused.
            threads: CPU threads; 0 leaves the number to OpenVINO.
            chat: whether to apply the file's chat template; `auto` applies it if there is one.
            long_prompt: whether a prompt beyond the context is refused or loses its oldest tokens.
            lookup: whether, and how, what repeats itself is written several tokens a step.
            clock: seconds since any moment.

        Raises:
            CannotLoadError: OpenVINO cannot load the file.
            ValueError: `chat` is `always`, and the file has no template.
        """
        try:
            self._pipeline = genai.ContinuousBatchingPipeline(
                str(file),
                scheduler_config(capacity, lookup),
                "CPU",
                _FLOAT32 | lookup.properties() | ({"INFERENCE_NUM_THREADS": threads} if threads else {}),
            )
        except (RuntimeError, LookupError, ValueError) as error:  # C++ exceptions arrive as any of these
            raise CannotLoadError(" ".join(f"{type(error).__name__}: {error}".split())) from error
        self._tokenizer = self._pipeline.get_tokenizer()
        template = str(self._tokenizer.chat_template)
        if chat == "always" and not template:
            raise ValueError("chat: always is demanded, but the file has no chat template")
        self.chat_template = "" if chat == "never" else template
        self._truncate = long_prompt == "truncate"
        self._context = context
        self._capacity = capacity
        self._clock = clock
        self._vocabulary = len(self._tokenizer.get_vocab())
        self._decoder = StepDecoder(self._tokenizer.decode)
        # One thread, so that a crowd of large requests takes the interpreter from the batch only once at a time.
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._lookup = lookup
        self._engine = OpenVINOEngine(self._pipeline, lookup)
        self._batch = Batch(self._engine, self._decoder, capacity, clock)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`."""
        return await read_to_end(self.stream(prompt, sampling))

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Generation, None]:
        """See `TextGenerator`. A slow reader does not slow the batch down: at most `max_tokens` wait to be read."""
        arrived = self._clock()
        if _is_large(prompt) or (sampling.grammar and not WRITTEN.knows(sampling.grammar)):
            loop = asyncio.get_running_loop()
            fitted = await loop.run_in_executor(self._preparing, self._prepare, prompt, sampling)
        else:
            fitted = self._prepare(prompt, sampling)
        detokenizer = Detokenizer.of(self._decoder.decode, sampling, prompt.prefix)
        sequence = BatchedSequence(fitted, sampling, detokenizer, arrived)
        self._batch.add(sequence)
        try:
            while not isinstance(item := await sequence.next(), Generation):
                yield item
            if sampling.logprobs is not None:
                item = replace(item, logprobs=await asyncio.to_thread(sequence.told, self._decoder.texts_of))
            yield item
        finally:
            sequence.given_up = True

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once on the calling thread, before the first request: OpenVINO compiles during its first run."""
        request = self._engine.add(self._encode(prompt), sampling)
        while not request.finished():
            self._engine.step()
            request.read()

    async def tokenization(self, query: TokenQuery) -> Tokenization:
        """See `TextGenerator`."""
        return await asyncio.get_running_loop().run_in_executor(self._preparing, self._tokenization, query)

    def _tokenization(self, query: TokenQuery) -> Tokenization:
        if known := require_known(query.tokens, self._vocabulary):
            return Tokenization(self._context, known, str(self._tokenizer.decode(known, skip_special_tokens=False)))
        tokens = self._encode(query.prompt, special=query.special, begins=query.begins)
        strings = entries_of(tokens, self._tokenizer.get_vocab()) if query.strings else ()
        return Tokenization(self._context, tokens, strings=strings)

    def describe(self) -> dict[str, Any]:
        """Engine, device, and how full the batch is."""
        return {
            "engine": "openvino",
            "device": "cpu",
            "dtype": "as in the file",
            "context": self._context,
            "active": self._batch.active,
            "capacity": self._capacity,
            "prompt_lookup_tokens": self._lookup.tokens,
        }

    def stalled_s(self) -> float:
        """See `Batch.stalled_s`."""
        return self._batch.stalled_s()

    def _prepare(self, prompt: Prompt, sampling: Sampling) -> FittedPrompt:
        if sampling.logit_bias:
            raise UnsupportedSamplingError("logit_bias")
        if sampling.logprobs:
            raise UnsupportedSamplingError("top_logprobs")
        if sampling.grammar:
            check_grammar(sampling.grammar, prompt)
        return fit_to_context(self._encode(prompt), self._context, sampling.max_tokens, truncate=self._truncate)

    def _encode(self, prompt: Prompt, *, special: bool | None = None, begins: bool = True) -> list[int]:
        """The tokens of the prompt and the prefix; see `PromptTokenizer`, also for the white space at its end."""
        turns = [dict(turn) for turn in prompt.messages]
        prefix = prompt.prefix.rstrip()
        if prompt.tokens:
            known = require_known(prompt.tokens, self._vocabulary)
            return known + (self._tokens(prefix, special=False) if prefix else [])
        if self.chat_template and not prompt.raw:
            turns = turns or [{"role": "user", "content": prompt.text}]
            tools = [dict(tool) for tool in prompt.tools] or None
            try:
                text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=begins, tools=tools)
            except RuntimeError as error:  # what the template raises
                raise UnsupportedTurnsError(not_taken(error)) from error
            return self._tokens(text + prefix, special=bool(special))
        return self._tokens(prompt.as_text() + prefix, special=special is not False)

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        """The tokens of `text`. OpenVINO's own encoding leaves out what is beyond the context, and does not say so."""
        tokens = self._encoded(text, special=special)
        if len(tokens) < self._context:
            return tokens
        pieces = split_text(text, max(1, self._context // _MOST_TOKENS_OF_A_CHARACTER))
        return [
            token for place, piece in enumerate(pieces) for token in self._encoded(piece, special=special and not place)
        ]

    def _encoded(self, text: str, *, special: bool) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=special).input_ids
        return [int(token) for token in ids.data[0]]


def _is_large(prompt: Prompt) -> bool:
    turns = sum(len(str(turn.get("content", ""))) for turn in prompt.messages)
    return len(prompt.text) + len(prompt.prefix) + turns > _LARGE_PROMPT
