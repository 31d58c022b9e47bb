"""Language models in transformers' format: chat and plain text generation."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson

from deployments.formats.engines import load_engine
from deployments.generation import CannotGenerateError, Generation, Prompt, Sampling, TextGenerator
from deployments.policy.outcome import Blank, Finished, Outcome, Refused, StreamItem, Usage, answered_or_blank
from deployments.request import InferenceRequest, ResponseFormat
from deployments.settings import GenerationDefaults, TextModelSpec


class HuggingFaceModel:
    """Turns requests into prompts for a text generator, and what it writes into outcomes."""

    def __init__(self, generator: TextGenerator, defaults: GenerationDefaults, facts: dict[str, Any]) -> None:
        """Serve with `generator`; `facts` are told in `/status` beside its own."""
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

    async def infer(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Answer with generated text."""
        if request.response_format.demands_tool_call:
            return _NO_TOOLS
        try:
            generation = await self._generator.generate(_prompt(request), self._sampling(request, budget_s))
        except CannotGenerateError as error:
            return Refused(str(error))
        text = generation.text if request.prefix else generation.text.strip()
        return answered_or_blank(text, _usage(generation), generation.finish_reason, empty_reason=_nothing(generation))

    async def stream(self, request: InferenceRequest, budget_s: float) -> AsyncGenerator[StreamItem, None]:
        """Answer with generated text as it is written. White space before the first word is left out."""
        if request.response_format.demands_tool_call:
            yield _NO_TOOLS
            return
        visible = bool(request.prefix)
        try:
            async with aclosing(self._generator.stream(_prompt(request), self._sampling(request, budget_s))) as items:
                async for item in items:
                    if isinstance(item, Generation):
                        yield Finished(item.finish_reason, _usage(item)) if visible else Blank(_nothing(item))
                    else:
                        text = item if visible else item.lstrip()
                        visible = visible or bool(text)
                        yield text
        except CannotGenerateError as error:
            yield Refused(str(error))

    def describe(self) -> dict[str, Any]:
        """The weights' name and the generator's facts."""
        return {**self._facts, **self._generator.describe()}

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
    """Nothing forces a small model to write JSON: it is told to, and what it writes is held to the schema after."""
    schema: Mapping[str, Any] = response_format.schema
    fitting = f" that fits this JSON schema: {orjson.dumps(schema).decode()}" if schema else ""
    return f"Answer with one JSON object{fitting}. Write nothing before it and nothing behind it."


def _usage(generation: Generation) -> Usage:
    return Usage(generation.prompt_tokens, generation.completion_tokens)


def _nothing(generation: Generation) -> str:
    return f"{generation.completion_tokens} tokens, none of them visible ({generation.finish_reason})"
