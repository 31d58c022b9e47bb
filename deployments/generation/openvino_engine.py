"""OpenVINO's pipeline as an engine that `batch.Batch` drives: one request with its own sampling and grammar for each.

A grammar that OpenVINO cannot compile raises in every step from then on, whoever joins the batch: a request that was
cancelled leaves only at the end of a step that goes well (seen with 2026.4). So after a step that has raised, before
anybody joins, the pipeline steps with nobody in it (`recover`). If that raises, it is of no use any more.
"""

import random
from collections.abc import Sequence
from typing import Any

import openvino_genai as genai
from openvino import Tensor

from deployments.generation import IncompleteGenerationError, Sampling
from deployments.generation.grammar import FatalGrammarError
from deployments.generation.openvino_grammar import SuspectGrammars, structured_output

_STEPS_TO_LEAVE = 4  # for requests that have been cancelled; they do so with the next one


class OpenVINOEngine:
    """OpenVINO's pipeline as a `BatchingEngine`.

    Attributes:
        suspects: the grammars that it may have failed to compile.
    """

    def __init__(self, pipeline: Any) -> None:
        """Drive `pipeline`, a `ContinuousBatchingPipeline`."""
        self._pipeline = pipeline
        self._number = 0
        self.suspects = SuspectGrammars()

    def add(self, tokens: Sequence[int], sampling: Sampling) -> "_Request":
        """See `BatchingEngine`. Raises `FatalGrammarError` if it has failed to compile the grammar before."""
        import numpy as np

        if sampling.grammar:
            self.suspects.check(sampling.grammar)
        self._number += 1
        ids = Tensor(np.array([tokens], dtype=np.int64))
        handle = self._pipeline.add_request(self._number, ids, _generation_config(sampling))
        if sampling.grammar:
            self.suspects.watch(self._number, sampling.grammar)
        return _Request(handle, self._number, sampling, self.suspects)

    def step(self) -> None:
        """See `BatchingEngine`."""
        if self._pipeline.has_non_finished_requests():
            try:
                self._pipeline.step()
            except RuntimeError:
                self.suspects.step_failed()
                raise
            self.suspects.step_went_well()

    def recover(self) -> None:
        """See `BatchingEngine`."""
        for _ in range(_STEPS_TO_LEAVE):
            if not self._pipeline.has_non_finished_requests():
                return
            self._pipeline.step()
        raise RuntimeError("cancelled requests do not leave the engine")


class _Request:
    """OpenVINO's handle of a request as an `EngineRequest`."""

    def __init__(self, handle: Any, number: int, sampling: Sampling, suspects: SuspectGrammars) -> None:
        """Hold the handle of the request `number`; `suspects` hears when it has begun or left."""
        self.logprobs: list[float] = []
        self._handle = handle
        self._number = number
        self._sampling = sampling
        self._suspects = suspects
        self._is_watched = sampling.grammar is not None
        self._reason = ""

    def read(self) -> Sequence[int]:
        tokens: list[int] = []
        while self._handle.can_read():
            for output in self._handle.read().values():
                tokens += output.generated_ids
                if self._sampling.logprobs is not None:
                    self.logprobs += output.generated_log_probs
                self._reason = _REASONS.get(output.finish_reason, self._reason)
        if tokens:
            self._forget()
        return tokens

    def finished(self) -> str:
        status = self._handle.get_status()
        if status == _RUNNING:
            return ""
        if status == _IGNORED:
            self._forget()
            raise IncompleteGenerationError("openvino had no memory for its keys and values, and gave the request up")
        return self._reason or "stop"

    def cancel(self) -> None:
        self._forget()
        if self._handle.get_status() == _RUNNING:
            self._handle.cancel()

    def blamed(self, error: Exception) -> Exception | None:  # noqa: ARG002 - its text is that of the first failure
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
