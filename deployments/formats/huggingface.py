"""Language models in transformers' format: chat and plain text generation, and calls of tools."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from deployments.execution.attempt import Begun, begin
from deployments.execution.offered_tools import fault_of_calls
from deployments.formats.engines import load_engine
from deployments.formats.prompting import prompt_of
from deployments.formats.tool_format import ToolFormat, format_of
from deployments.formats.tool_reader import ToolCallReader
from deployments.generation import CannotGenerateError, Generation, Prompt, Sampling, TextGenerator
from deployments.generation.grammar import Grammar, GrammarError, JsonGrammar
from deployments.policy.outcome import (
    Failed,
    Finished,
    Outcome,
    Refused,
    Rejected,
    StreamEnd,
    StreamItem,
    Usage,
    stream_to_outcome,
)
from deployments.request import InferenceRequest, ResponseFormat
from deployments.settings import GenerationDefaults, TextModelSpec


class HuggingFaceModel:
    """Turns requests into prompts for a text generator, and what it writes into outcomes."""

    def __init__(
        self,
        generator: TextGenerator,
        defaults: GenerationDefaults,
        facts: dict[str, Any],
        tools: ToolFormat | None = None,
    ) -> None:
        """Answer with `generator`.

        Args:
            generator: writes.
            defaults: of requests.
            facts: for `/status`, beside the generator's own.
            tools: how the model is offered tools; `None` if it is offered none.
        """
        self._generator = generator
        self._defaults = defaults
        self._facts = facts
        self._tools = tools

    @classmethod
    def load(cls, spec: TextModelSpec, cache: Path, name: str) -> "HuggingFaceModel":
        """Load the weights from the first source that has them, and warm up.

        Raises:
            sources.NoSourceError: no source has them.
            RuntimeError: a GPU is demanded and there is none.
        """
        engine = load_engine(spec, cache, name)
        tools = format_of(engine.generator.chat_template) if spec.tools else None
        told = f"{tools.name}, {'by its template' if tools.by_template else 'in words'}" if tools else "none"
        facts = {"format": "huggingface", "name": name, "weights": engine.weights, "tools": told}
        return cls(engine.generator, spec.generation, facts, tools)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Answer with generated text, or with calls of the functions that the request offers."""
        wanted = request.response_format
        if wanted.demands_tool_call and not wanted.functions:
            return _ONLY_FUNCTIONS
        if wanted.functions and self._tools is None:
            return _NO_TOOLS
        # In a thread: the schemas of many tools are a lot to look through.
        grammar = await asyncio.to_thread(self._grammar, wanted) if wanted.functions or wanted.is_json else None
        sampling = replace(self._sampling(request, budget_s), grammar=grammar)
        try:
            try:
                return await self._begin(request, sampling)
            except GrammarError as error:
                if wanted.demands_form:
                    return Rejected(str(error), _field_of(wanted), elsewhere=True)
            # Nobody demands a call. Those that come are checked once they are written.
            return await self._begin(request, replace(sampling, grammar=None))
        except CannotGenerateError as error:
            return Refused(str(error))

    async def _begin(self, request: InferenceRequest, sampling: Sampling) -> Outcome | Begun:
        prompt, reader = prompt_of(request, self._tools), self._reader(request.response_format)
        if request.stream:
            return await begin(self._items(prompt, sampling, reader, request.response_format))
        generation = await self._generator.generate(prompt, sampling)
        text = reader.feed(generation.text) + reader.finish() if reader else generation.text
        end = await _end(generation, reader, request.response_format)
        return stream_to_outcome(text if request.prefix else text.strip(), end)

    async def _items(
        self, prompt: Prompt, sampling: Sampling, reader: ToolCallReader | None, wanted: ResponseFormat
    ) -> AsyncGenerator[StreamItem, None]:
        """Yield the text as it is generated. White space before the first word is left out, unless a text goes on."""
        begun = bool(prompt.prefix)
        async with aclosing(self._generator.stream(prompt, sampling)) as items:
            async for item in items:
                if isinstance(item, Generation):
                    text = reader.finish() if reader else ""
                else:
                    text = reader.feed(item) if reader else item
                text = text if begun else text.lstrip()
                begun = begun or bool(text)
                yield text
                if isinstance(item, Generation):
                    yield await _end(item, reader, wanted)

    def describe(self) -> dict[str, Any]:
        """The weights' name, how it is offered tools, and the generator's facts."""
        return {**self._facts, **self._generator.describe()}

    def stalled_s(self) -> float:
        """Seconds for which the generator has had work that did not advance; 0 where it has none."""
        return self._generator.stalled_s()

    def _grammar(self, wanted: ResponseFormat) -> Grammar | None:
        """What the text is held to. Where functions may be called, a text that calls none is judged afterwards."""
        if wanted.functions:
            return self._tools.grammar(wanted) if self._tools else None
        return JsonGrammar(orjson.dumps(wanted.schema or _ANY_OBJECT).decode())

    def _reader(self, wanted: ResponseFormat) -> ToolCallReader | None:
        if self._tools is None or not wanted.functions:
            return None
        return ToolCallReader(self._tools, [tool["function"]["name"] for tool in wanted.functions])

    def _sampling(self, request: InferenceRequest, budget_s: float) -> Sampling:
        parameters = request.parameters
        wanted = parameters.max_tokens or self._defaults.max_tokens
        return Sampling(
            max_tokens=min(wanted, self._defaults.max_tokens_limit),
            temperature=self._defaults.temperature if parameters.temperature is None else parameters.temperature,
            budget_s=budget_s,
            top_p=1.0 if parameters.top_p is None else parameters.top_p,
            stop=parameters.stop,
            seed=parameters.seed,
            presence_penalty=parameters.presence_penalty or 0.0,
            frequency_penalty=parameters.frequency_penalty or 0.0,
            logit_bias={int(token): bias for token, bias in parameters.logit_bias.items()},
        )


_NO_TOOLS = Refused("it is not offered tools (tools: false)")
_ONLY_FUNCTIONS = Refused("it can be offered functions only, and none may be called")
_CUT = ("length", "deadline")
_ANY_OBJECT = {"type": "object"}


def _field_of(wanted: ResponseFormat) -> str:
    return "response_format" if wanted.is_json and not wanted.functions else "tools"


async def _end(generation: Generation, reader: ToolCallReader | None, wanted: ResponseFormat) -> StreamEnd:
    """The end of an answer, once its calls are checked."""
    usage = Usage(generation.prompt_tokens, generation.completion_tokens)
    if reader is None or not (reader.calls or reader.fault):
        return Finished(generation.finish_reason, usage)
    if reader.fault:
        return Failed(reader.fault, misfit=True, cut=generation.finish_reason in _CUT)
    calls = tuple(reader.calls[:1] if wanted.takes_one_call else reader.calls)
    if fault := await fault_of_calls(calls, wanted):
        return Failed(fault, misfit=True)
    return Finished("tool_calls", usage, calls)
