"""Language models in transformers' format: chat and plain text generation."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson

from deployments.execution.attempt import Begun, begin
from deployments.formats.engines import load_engine
from deployments.generation import CannotGenerateError, Generation, Prompt, Sampling, TextGenerator
from deployments.policy.outcome import Finished, Outcome, Refused, StreamItem, Usage, stream_to_outcome
from deployments.request import InferenceRequest, ResponseFormat
from deployments.settings import GenerationDefaults, TextModelSpec


class HuggingFaceModel:
    """Turns requests into prompts for a text generator, and what it writes into outcomes."""

    def __init__(self, generator: TextGenerator, defaults: GenerationDefaults, facts: dict[str, Any]) -> None:
        """Answer with `generator`; `/status` has `facts` beside the generator's own."""
        self._generator = generator
        self._defaults = defaults
        self._facts = facts

    @classmethod
    def load(cls, spec: TextModelSpec, cache: Path, name: str) -> "HuggingFaceModel":
        """Load the weights from the first source that has them, and warm up.

        Raises:
            sources.NoSourceError: no source has them.
            RuntimeError: a GPU is demanded and there is none.
        """
        engine = load_engine(spec, cache, name)
        return cls(
            engine.generator, spec.generation, {"format": "huggingface", "name": name, "weights": engine.weights}
        )

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Answer with generated text."""
        if request.response_format.demands_tool_call:
            return _NO_TOOLS
        prompt, sampling = _prompt(request), self._sampling(request, budget_s)
        try:
            if request.stream:
                return await begin(self._items(prompt, sampling))
            generation = await self._generator.generate(prompt, sampling)
        except CannotGenerateError as error:
            return Refused(str(error))
        text = generation.text if request.prefix else generation.text.strip()
        return stream_to_outcome(text, _end(generation))

    async def _items(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[StreamItem, None]:
        """Yield the text as it is generated. White space before the first word is left out, unless a text goes on."""
        begun = bool(prompt.prefix)
        async with aclosing(self._generator.stream(prompt, sampling)) as items:
            async for item in items:
                if isinstance(item, Generation):
                    yield _end(item)
                else:
                    text = item if begun else item.lstrip()
                    begun = begun or bool(text)
                    yield text

    def describe(self) -> dict[str, Any]:
        """The weights' name and the generator's facts."""
        return {**self._facts, **self._generator.describe()}

    def stalled_s(self) -> float:
        """Seconds for which the generator has had work that did not advance; 0 where it has none."""
        return self._generator.stalled_s()

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


_NO_TOOLS = Refused("it cannot call tools")


def _prompt(request: InferenceRequest) -> Prompt:
    messages = request.messages
    if request.response_format.is_json:
        turns = messages or ({"role": "user", "content": request.text},)
        messages = ({"role": "system", "content": _instruction(request.response_format)}, *turns)
    return Prompt(request.text, messages, request.prefix)


def _instruction(response_format: ResponseFormat) -> str:
    """Ask for JSON in words. Nothing forces a small model to write it: its text is held to the schema afterwards."""
    schema: Mapping[str, Any] = response_format.schema
    fitting = f" that fits this JSON schema: {orjson.dumps(schema).decode()}" if schema else ""
    return f"Answer with one JSON object{fitting}. Write nothing before it and nothing behind it."


def _end(generation: Generation) -> Finished:
    return Finished(generation.finish_reason, Usage(generation.prompt_tokens, generation.completion_tokens))
