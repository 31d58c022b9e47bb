"""Language models in transformers' format: chat and plain text generation, and calls of tools."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from msgspec import structs

from deployments.execution.attempt import Begun, begin
from deployments.execution.offered_tools import fault_of_calls
from deployments.execution.structured_output import conform
from deployments.formats.choice_fields import finish
from deployments.formats.choices import MOST_WRITTEN, Judge, with_usable_first, write, write_all
from deployments.formats.engines import load_engine
from deployments.formats.prompting import prompt_of
from deployments.formats.sampling import defaults_of, not_generated, to_sampling
from deployments.formats.tokenizing import tokenize
from deployments.formats.tool_format import ToolFormat, format_of
from deployments.formats.tool_reader import ToolCallReader
from deployments.generation import CannotGenerateError, Generation, Prompt, Sampling, TextGenerator
from deployments.generation.grammar import Grammar, GrammarError, JsonGrammar, JsonOrTagsGrammar
from deployments.policy.outcome import (
    Answered,
    Failed,
    Finished,
    Outcome,
    Rejected,
    StreamEnd,
    StreamItem,
    stream_to_outcome,
)
from deployments.policy.problem import UNSUPPORTED
from deployments.request import InferenceRequest, ResponseFormat
from deployments.request.tokens import TokensRequest
from deployments.settings import GenerationDefaults, TextModelSpec


class HuggingFaceModel:
    """Turns requests into prompts for a text generator, and what it writes into outcomes."""

    def __init__(
        self,
        generator: TextGenerator,
        defaults: GenerationDefaults,
        facts: dict[str, Any],
        tools: ToolFormat | None = None,
        recommended: Mapping[str, Any] = {},
    ) -> None:
        """Answer with `generator`.

        Args:
            generator: writes.
            defaults: what the spec sets for requests.
            facts: for `/status`, beside the generator's own; its `name` is what log lines call the model.
            tools: how the model is offered tools; `None` if it is offered none.
            recommended: the sampling that the model recommends, by the names of requests.
        """
        self._generator = generator
        self._spec = defaults
        self._facts = facts
        self._tools = tools
        self._defaults = defaults_of(str(facts.get("name", "")), recommended, defaults)

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
        facts = {"format": "huggingface", "name": name, "weights": engine.weights, "tools": told, "features": FEATURES}
        return cls(engine.generator, spec.generation, facts, tools, engine.recommended)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Answer with generated text, or with calls of the functions that the request offers."""
        wanted = request.response_format
        if wanted.demands_tool_call and not wanted.functions:
            return _ONLY_FUNCTIONS
        if wanted.functions and self._tools is None:
            return _NO_TOOLS
        if request.choices > MOST_WRITTEN:
            return Rejected(f"it writes at most {MOST_WRITTEN} choices", "n", UNSUPPORTED, elsewhere=True)
        try:
            sampling = to_sampling(request, self._defaults, self._spec, budget_s)
            if wanted.demands_form:  # which says where the text ends: nothing that fits can be written behind it
                sampling = replace(sampling, min_tokens=0, ignore_eos=False)
            if not wanted.functions and not wanted.is_json:
                return await self._begin(request, sampling)
            # In a thread: the schemas of many tools are a lot to look through.
            grammars = await asyncio.to_thread(self._grammars, wanted)
            cannot = ""
            for grammar in grammars:
                try:
                    return await self._begin(request, replace(sampling, grammar=grammar))
                except GrammarError as error:
                    cannot = str(error)
            return Rejected(cannot, _field_of(wanted), elsewhere=True)
        except CannotGenerateError as error:
            return not_generated(error, request)

    async def _begin(self, request: InferenceRequest, sampling: Sampling) -> Outcome | Begun:
        prompt, wanted = prompt_of(request, self._tools), request.response_format
        judge = partial(self._judge, wanted, goes_on=prompt.goes_on)
        if request.stream:
            return await begin(self._items(prompt, sampling, request, judge))
        written = await write_all(self._generator, prompt, sampling, request.choices, judge)
        written = await with_usable_first(written, judge)
        reader = self._reader(wanted)
        text = _read(reader, written.first.text, goes_on=prompt.goes_on)
        return stream_to_outcome(text, await self._end(finish(written, request.parameters.max_tokens), reader, wanted))

    async def _items(
        self, prompt: Prompt, sampling: Sampling, request: InferenceRequest, judge: Judge
    ) -> AsyncGenerator[StreamItem, None]:
        """Yield the text as it is generated. White space before the first word is left out, unless a text goes on."""
        reader, begun = self._reader(request.response_format), prompt.goes_on
        async with aclosing(write(self._generator, prompt, sampling, request.choices, judge)) as items:
            async for item in items:
                if isinstance(item, str):
                    text = reader.feed(item) if reader else item
                else:
                    text = reader.finish() if reader else ""
                text = text if begun else text.lstrip()
                begun = begun or bool(text)
                yield text
                if not isinstance(item, str):
                    end = finish(item, request.parameters.max_tokens)
                    yield await self._end(end, reader, request.response_format)

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Answer a question to its tokenizer; see `formats.Tokenizing`."""
        return await tokenize(self._generator, asked, self._tools)

    def describe(self) -> dict[str, Any]:
        """The weights' name, how it is offered tools, and the generator's facts."""
        return {**self._facts, **self._generator.describe()}

    def stalled_s(self) -> float:
        """Seconds for which the generator has had work that did not advance; 0 where it has none."""
        return self._generator.stalled_s()

    async def _judge(self, wanted: ResponseFormat, generation: Generation, *, goes_on: bool) -> Outcome:
        """What one of several choices is worth. The first one of them is judged by the router as well."""
        reader = self._reader(wanted)
        text = _read(reader, generation.text, goes_on=goes_on)
        outcome = stream_to_outcome(text, await self._end(Finished(generation.finish_reason), reader, wanted))
        return await conform(outcome, wanted) if isinstance(outcome, Answered) else outcome

    async def _end(self, end: Finished, reader: ToolCallReader | None, wanted: ResponseFormat) -> StreamEnd:
        """`end` with the calls of the answer, once they are checked, which `reader` has read."""
        if reader is None or not (reader.calls or reader.fault):
            return end
        if reader.fault:
            return Failed(reader.fault, misfit=True, cut=end.finish_reason in _CUT)
        calls = tuple(reader.calls[:1] if wanted.takes_one_call else reader.calls)
        if fault := await fault_of_calls(calls, wanted):
            return Failed(fault, misfit=True)
        return structs.replace(end, finish_reason="tool_calls", tool_calls=calls)

    def _grammars(self, wanted: ResponseFormat) -> Sequence[Grammar | None]:
        """What the text is held to, and what it is held to where the engine cannot do that; `None` leaves it free.

        Calls that nobody demands are checked once they are written, however little they were held to.
        """
        value = JsonGrammar(orjson.dumps(wanted.schema or _ANY_OBJECT).decode())
        if not wanted.functions or self._tools is None:
            return (value,)
        calls = self._tools.grammar(wanted)
        if wanted.demands_tool_call:
            return (calls,)
        if wanted.is_json:
            either = JsonOrTagsGrammar(value, calls.tags, calls.stop_after_first)
            return (either, either.relaxed())
        return (calls, None)

    def _reader(self, wanted: ResponseFormat) -> ToolCallReader | None:
        if self._tools is None or not wanted.functions:
            return None
        return ToolCallReader(self._tools, [tool["function"]["name"] for tool in wanted.functions])


FEATURES = ("n", "logprobs", "token_ids")
"""The features of requests that a language model of our own has; the router reads them in its description."""

_NO_TOOLS = Rejected("it is not offered tools (tools: false)", "tools", UNSUPPORTED, elsewhere=True)
_ONLY_FUNCTIONS = Rejected(
    "it can be offered functions only, and none may be called", "tools", UNSUPPORTED, elsewhere=True
)
_CUT = ("length", "deadline")
_ANY_OBJECT = {"type": "object"}


def _read(reader: ToolCallReader | None, written: str, *, goes_on: bool) -> str:
    """The text in all that was written, once `reader` has read the calls in it."""
    text = reader.feed(written) + reader.finish() if reader else written
    return text if goes_on else text.strip()


def _field_of(wanted: ResponseFormat) -> str:
    return "response_format" if wanted.is_json and not wanted.demands_tool_call else "tools"
