"""OpenVINO's pipeline as an engine that `batch.Batch` drives: one request with its own sampling and grammar for each.

A grammar that OpenVINO cannot compile raises in every step from then on, whoever joins the batch: a request that was
cancelled leaves only at the end of a step that goes well (seen with 2026.4). So after a step that has raised, before
anybody joins, the pipeline steps with nobody in it (`recover`). If that raises, it is of no use any more.

A request that is cancelled while its prompt is read is read to its first token, and taken out then. OpenVINO GenAI
2026.4.1 keeps what has been read of prompts for those that begin alike, in blocks of 32 tokens, and takes a block that
was left half read for a whole one: whoever asks the same later gets another text (decision 32).
"""

import random
from collections.abc import Sequence
from typing import Any

import openvino_genai as genai
from openvino import Tensor

from deployments.generation import BatchFullError, IncompleteGenerationError, Sampling
from deployments.generation.grammar import FatalGrammarError
from deployments.generation.openvino_grammar import SuspectGrammars, structured_output
from deployments.generation.prompt_lookup import CacheRoom, PromptLookup

CACHE_GIGABYTES = 1
"""For the keys and values of all requests of a replica; memory is taken as the cache fills."""

_BATCHED_TOKENS = 256  # of prompts in one step: more would delay the requests that are writing
_MEASURED_TOKENS = 128
_PIECE = 224
"""Tokens of a piece of a prompt: whole blocks, and no more than a step reads beside 32 requests that write."""

_STEPS_TO_LEAVE = 4  # for requests that have been cancelled; they do so with the next one


class OpenVINOEngine:
    """OpenVINO's pipeline as a `BatchingEngine`.

    Attributes:
        piece: see `BatchingEngine`.
        suspects: the grammars that it may have failed to compile.
    """

    def __init__(self, pipeline: Any, lookup: PromptLookup) -> None:
        """Drive `pipeline`, a `ContinuousBatchingPipeline` that was made for `lookup`."""
        self._pipeline = pipeline
        self._lookup = lookup
        self._number = 0
        self.piece = _PIECE
        self.suspects = SuspectGrammars()
        self._reading: list[OpenVINORequest] = []
        self._read_at_once = _BATCHED_TOKENS // 2  # of prompts, whatever else is in the step
        self._room = self._measured() if lookup.tokens else None

    def add(self, tokens: Sequence[int], sampling: Sampling, unread: int | None = None) -> "OpenVINORequest":
        """See `BatchingEngine`; nothing of the prompt has been read where `unread` is not given.

        Raises:
            FatalGrammarError: it has failed to compile the grammar before.
            BatchFullError: prompt lookup is on, and the cache may have no room for the request beside the others.
        """
        if sampling.grammar:
            self.suspects.check(sampling.grammar)
        most = len(tokens) + sampling.max_tokens + 2 * (1 + self._lookup.tokens)
        if self._room and not self._room.has(most):
            self.step()  # gives back what was cancelled since the last one
            if not self._room.has(most):
                raise BatchFullError(f"its cache may have no room for {most} tokens more")
        request = self._add(tokens, sampling, unread)
        self._reading.append(request)
        if self._room:
            self._room.hold(most, lambda: request.over)
        return request

    def step(self) -> None:
        """See `BatchingEngine`."""
        if self._pipeline.has_non_finished_requests():
            try:
                self._pipeline.step()
            except Exception:
                self.suspects.step_failed()
                raise
            self.suspects.step_went_well()
        for request in self._reading:
            request.leave_once_read()
        self._reading = [request for request in self._reading if request.reading and not request.over]
        if self._room:
            self._room.after_step()

    def leaving(self) -> bool:
        """See `BatchingEngine`."""
        return any(request.unwanted for request in self._reading)

    def unread(self) -> int:
        """See `BatchingEngine`."""
        return sum(request.unread for request in self._reading if request.reading)

    def recover(self) -> None:
        """See `BatchingEngine`. Raises as well where a prompt may have been left half read: see the module."""
        is_half_read = sum(request.prompt_tokens for request in self._reading) > self._read_at_once
        for request in self._reading:
            request.drop()
        self._reading.clear()
        if is_half_read:
            raise RuntimeError("a prompt may have been left half read")
        for _ in range(_STEPS_TO_LEAVE):
            if not self._pipeline.has_non_finished_requests():
                return
            self._pipeline.step()
        raise RuntimeError("cancelled requests do not leave the engine")

    def _add(self, tokens: Sequence[int], sampling: Sampling, unread: int | None = None) -> "OpenVINORequest":
        import numpy as np

        self._number += 1
        ids = Tensor(np.array([tokens], dtype=np.int64))
        config = _generation_config(sampling)
        self._lookup.configure(config, sampling, len(tokens))
        handle = self._pipeline.add_request(self._number, ids, config)
        if sampling.grammar:
            self.suspects.watch(self._number, sampling.grammar)
        return OpenVINORequest(handle, self._number, sampling, self.suspects, len(tokens), unread)

    def _measured(self) -> CacheRoom:
        """The room of the cache, which OpenVINO does not tell: by the share of it that a request takes."""
        request = self._add([0] * _MEASURED_TOKENS, Sampling(2, 0.0, 60.0))
        self._pipeline.step()
        share = self._pipeline.get_metrics().cache_usage / 100
        while not request.over:
            self._pipeline.step()
        return CacheRoom(int(_MEASURED_TOKENS / share))


class OpenVINORequest:
    """OpenVINO's handle of a request as an `EngineRequest`.

    Attributes:
        logprobs: as in `EngineRequest`.
        prompt_tokens: those of its prompt.
        unread: those of them that had not been read before.
        reading: whether its prompt is being read, and has to be to its end.
        unwanted: whether it was cancelled meanwhile.
    """

    def __init__(
        self,
        handle: Any,
        number: int,
        sampling: Sampling,
        suspects: SuspectGrammars,
        prompt_tokens: int = 0,
        unread: int | None = None,
    ) -> None:
        """Hold the handle of the request `number`; `suspects` hears when it has begun or left."""
        self.logprobs: list[float] = []
        self.prompt_tokens = prompt_tokens
        self.unread = prompt_tokens if unread is None else unread
        self.reading = True
        self.unwanted = False
        self._handle = handle
        self._number = number
        self._sampling = sampling
        self._suspects = suspects
        self._is_watched = sampling.grammar is not None
        self._reason = ""

    @property
    def over(self) -> bool:
        """Whether the engine has ended the request, or it was cancelled."""
        return bool(self._handle.get_status() != _RUNNING)

    def read(self) -> Sequence[int]:
        """See `EngineRequest`. Of a request that was given up nothing is read: it may be guesses of prompt lookup."""
        tokens: list[int] = []
        if self._handle.get_status() == _IGNORED:
            return tokens
        while self._handle.can_read():
            for output in self._handle.read().values():
                tokens += output.generated_ids
                if self._sampling.logprobs is not None:
                    self.logprobs += output.generated_log_probs
                self._reason = _REASONS.get(output.finish_reason, self._reason)
        if tokens:
            self.reading = False
            if self._is_watched:
                self._is_watched = False
                self._suspects.begun(self._number)
        return tokens

    def finished(self) -> str:
        """See `EngineRequest`."""
        status = self._handle.get_status()
        if status == _RUNNING:
            return ""
        if status == _IGNORED:
            self._forget()
            raise IncompleteGenerationError("openvino had no memory for its keys and values, and gave the request up")
        return self._reason or "stop"

    def cancel(self) -> None:
        """See `EngineRequest`, and the module for a request whose prompt is being read."""
        self.unwanted = self.reading
        if not self.reading:
            self._forget()
            if not self.over:
                self._handle.cancel()

    def leave_once_read(self) -> None:
        """Take a request that is unwanted out of the engine if its prompt has been read, or the engine has ended it."""
        if self.unwanted and (self.read() or self.over):
            self.drop()

    def drop(self) -> None:
        """Take the request out of the engine, wherever its prompt is."""
        self.reading = self.unwanted = False
        self.cancel()

    def blamed(self, error: Exception) -> Exception | None:  # noqa: ARG002 - its text is that of the first failure
        """See `EngineRequest`."""
        if self._sampling.grammar is not None:
            try:
                self._suspects.check(self._sampling.grammar)
            except FatalGrammarError as suspected:
                return suspected
        return None

    def _forget(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._suspects.forget(self._number)


_RUNNING = genai.GenerationStatus.RUNNING
_IGNORED = genai.GenerationStatus.IGNORED
_REASONS = {genai.GenerationFinishReason.STOP: "stop", genai.GenerationFinishReason.LENGTH: "length"}


def scheduler_config(capacity: int, lookup: PromptLookup) -> Any:
    """How OpenVINO makes batches of at most `capacity` requests."""
    config = genai.SchedulerConfig()
    config.max_num_seqs = capacity
    config.max_num_batched_tokens = lookup.most_batched(_BATCHED_TOKENS, capacity)
    config.cache_size = CACHE_GIGABYTES
    config.enable_prefix_caching = True
    return config


_LEAST = 1e-6
"""OpenVINO computes with 32 bits, in which smaller numbers are 0, and refuses that."""

_MOST_MIN_P = 0.9999999
"""OpenVINO takes no 1, which would leave the likeliest token alone."""


def _generation_config(sampling: Sampling) -> Any:
    """The sampling without its stop texts and tokens: `Detokenizer` finds those, even texts that end within a token."""
    config = genai.GenerationConfig()
    config.max_new_tokens = sampling.max_tokens
    config.do_sample = sampling.temperature > 0
    if config.do_sample:
        config.temperature = max(sampling.temperature, _LEAST)
        config.top_p = max(sampling.top_p, _LEAST)
        config.min_p = min(sampling.min_p, _MOST_MIN_P)
        if sampling.top_k:
            config.top_k = sampling.top_k
        # OpenVINO's default seed is 0 for every request.
        config.rng_seed = random.getrandbits(31) if sampling.seed is None else sampling.seed
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    config.repetition_penalty = max(sampling.repetition_penalty, _LEAST)
    config.min_new_tokens = sampling.min_tokens
    config.ignore_eos = sampling.ignore_eos
    config.logprobs = 0 if sampling.logprobs is None else 1
    if sampling.grammar:
        config.structured_output_config = structured_output(sampling.grammar)
    return config
