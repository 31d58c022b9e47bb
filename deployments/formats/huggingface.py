"""Language models in transformers' format: chat and plain text generation, and calls of tools."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from msgspec import structs

from deployments.execution.attempt import Begun, begin
from deployments.execution.offered_tools import fault_of_calls
from deployments.formats.choices import MOST_WRITTEN, finish, write, write_all
from deployments.formats.engines import load_engine
from deployments.formats.prompting import prompt_of
from deployments.formats.sampling import defaults_of, not_generated, to_sampling
from deployments.formats.tokenizing import tokenize
from deployments.formats.tool_format import ToolFormat, format_of
from deployments.formats.tool_reader import ToolCallReader
from deployments.generation import CannotGenerateError, Generation, Prompt, Sampling, TextGenerator
from deployments.generation.grammar import Grammar, GrammarError, JsonGrammar
from deployments.policy.outcome import Failed, Outcome, Rejected, StreamEnd, StreamItem, stream_to_outcome
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
        # In a thread: the schemas of many tools are a lot to look through.
        grammar = await asyncio.to_thread(self._grammar, wanted) if wanted.functions or wanted.is_json else None
        sampling = replace(to_sampling(request, self._defaults, self._spec, budget_s), grammar=grammar)
        if wanted.demands_form:  # which says where the text ends: nothing that fits can be written behind it
            sampling = replace(sampling, min_tokens=0, ignore_eos=False)
        try:
            try:
                return await self._begin(request, sampling)
            except GrammarError as error:
                if wanted.demands_form:
                    return Rejected(str(error), _field_of(wanted), elsewhere=True)
            # Nobody demands a call. Those that come are checked once they are written.
            return await self._begin(request, replace(sampling, grammar=None))
        except CannotGenerateError as error:
            return not_generated(error, request)

    async def _begin(self, request: InferenceRequest, sampling: Sampling) -> Outcome | Begun:
        prompt, wanted = prompt_of(request, self._tools), request.response_format
        if request.stream:
            return await begin(self._items(prompt, sampling, request.choices, wanted))
        written = await write_all(self._generator, prompt, sampling, request.choices)
        reader = self._reader(wanted)
        text = reader.feed(written[0].text) + reader.finish() if reader else written[0].text
        end = await self._end(written, reader, wanted)
        return stream_to_outcome(text if prompt.goes_on else text.strip(), end)

    async def _items(
        self, prompt: Prompt, sampling: Sampling, choices: int, wanted: ResponseFormat
    ) -> AsyncGenerator[StreamItem, None]:
        """Yield the text as it is generated. White space before the first word is left out, unless a text goes on."""
        reader, begun = self._reader(wanted), prompt.goes_on
        async with aclosing(write(self._generator, prompt, sampling, choices)) as items:
            async for item in items:
                if isinstance(item, str):
                    text = reader.feed(item) if reader else item
                else:
                    text = reader.finish() if reader else ""
                text = text if begun else text.lstrip()
                begun = begun or bool(text)
                yield text
                if not isinstance(item, str):
                    yield await self._end(item, reader, wanted)

    async def tokenize(self, asked: TokensRequest) -> Outcome:
        """Answer a question to its tokenizer; see `formats.Tokenizing`."""
        return await tokenize(self._generator, asked, self._tools)

    def describe(self) -> dict[str, Any]:
        """The weights' name, how it is offered tools, and the generator's facts."""
        return {**self._facts, **self._generator.describe()}

    def stalled_s(self) -> float:
        """Seconds for which the generator has had work that did not advance; 0 where it has none."""
        return self._generator.stalled_s()

    async def _end(
        self, written: Sequence[Generation], reader: ToolCallReader | None, wanted: ResponseFormat
    ) -> StreamEnd:
        """The end of an answer with these choices, once the calls of the first are checked, which `reader` has read."""
        end = finish(written, lambda text: self._read(text, wanted))
        if reader is None or not (reader.calls or reader.fault):
            return end
        if reader.fault:
            return Failed(reader.fault, misfit=True, cut=end.finish_reason in _CUT)
        calls = tuple(reader.calls[:1] if wanted.takes_one_call else reader.calls)
        if fault := await fault_of_calls(calls, wanted):
            return Failed(fault, misfit=True)
        return structs.replace(end, finish_reason="tool_calls", tool_calls=calls)

    def _read(self, text: str, wanted: ResponseFormat) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """The text and the calls in what was written."""
        reader = self._reader(wanted)
        return (reader.feed(text) + reader.finish(), reader.calls) if reader else (text, ())

    def _grammar(self, wanted: ResponseFormat) -> Grammar | None:
        """What the text is held to. Where functions may be called, a text that calls none is judged afterwards."""
        if wanted.functions:
            return self._tools.grammar(wanted) if self._tools else None
        return JsonGrammar(orjson.dumps(wanted.schema or _ANY_OBJECT).decode())

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


def _field_of(wanted: ResponseFormat) -> str:
    return "response_format" if wanted.is_json and not wanted.functions else "tools"
