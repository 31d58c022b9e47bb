"""Language models in transformers' format: chat and plain text generation."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson

from deployments.execution.attempt import Begun, begin
from deployments.formats.choices import MOST_WRITTEN, finish, write, write_all
from deployments.formats.engines import load_engine
from deployments.formats.sampling import defaults_of, not_generated, to_sampling
from deployments.generation import CannotGenerateError, Prompt, Sampling, TextGenerator
from deployments.policy.outcome import Outcome, Rejected, StreamItem, stream_to_outcome
from deployments.policy.problem import UNSUPPORTED
from deployments.request import InferenceRequest, ResponseFormat
from deployments.settings import GenerationDefaults, TextModelSpec


class HuggingFaceModel:
    """Turns requests into prompts for a text generator, and what it writes into outcomes."""

    def __init__(
        self,
        generator: TextGenerator,
        defaults: GenerationDefaults,
        facts: dict[str, Any],
        recommended: Mapping[str, Any] = {},
    ) -> None:
        """Answer with `generator`.

        Args:
            generator: what writes.
            defaults: what the spec sets for requests.
            facts: for `/status`, beside the generator's own; its `name` is what log lines call the model.
            recommended: the sampling that the model recommends, by the names of requests.
        """
        self._generator = generator
        self._spec = defaults
        self._facts = facts
        self._defaults = defaults_of(str(facts.get("name", "")), recommended, defaults)

    @classmethod
    def load(cls, spec: TextModelSpec, cache: Path, name: str) -> "HuggingFaceModel":
        """Load the weights from the first source that has them, and warm up.

        Raises:
            sources.NoSourceError: no source has them.
            RuntimeError: a GPU is demanded and there is none.
        """
        engine = load_engine(spec, cache, name)
        facts = {"format": "huggingface", "name": name, "weights": engine.weights, "features": FEATURES}
        return cls(engine.generator, spec.generation, facts, engine.recommended)

    async def start(self, request: InferenceRequest, budget_s: float) -> Outcome | Begun:
        """Answer with generated text."""
        if request.response_format.demands_tool_call:
            return _NO_TOOLS
        if request.choices > MOST_WRITTEN:
            return Rejected(f"it writes at most {MOST_WRITTEN} choices", "n", UNSUPPORTED, elsewhere=True)
        prompt, sampling = _prompt(request), to_sampling(request, self._defaults, self._spec, budget_s)
        try:
            if request.stream:
                return await begin(self._items(prompt, sampling, request.choices))
            written = await write_all(self._generator, prompt, sampling, request.choices)
        except CannotGenerateError as error:
            return not_generated(error, request)
        text = written[0].text if prompt.goes_on else written[0].text.strip()
        return stream_to_outcome(text, finish(written))

    async def _items(self, prompt: Prompt, sampling: Sampling, choices: int) -> AsyncGenerator[StreamItem, None]:
        """Yield the text as it is generated. White space before the first word is left out, unless a text goes on."""
        begun = prompt.goes_on
        async with aclosing(write(self._generator, prompt, sampling, choices)) as items:
            async for item in items:
                if not isinstance(item, str):
                    yield finish(item)
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


FEATURES = ("n", "logprobs", "token_ids")
"""The features of requests that a language model of our own has; the router reads them in its description."""

_NO_TOOLS = Rejected("it cannot call tools", "tool_choice", UNSUPPORTED, elsewhere=True)


def _prompt(request: InferenceRequest) -> Prompt:
    messages = request.messages
    if request.response_format.is_json:
        turns = messages or ({"role": "user", "content": request.text},)
        messages = ({"role": "system", "content": _instruction(request.response_format)}, *turns)
    return Prompt(request.text, messages, request.prefix, raw=request.raw, tokens=request.prompt_tokens)


def _instruction(response_format: ResponseFormat) -> str:
    """Ask for JSON in words. Nothing forces a small model to write it: its text is held to the schema afterwards."""
    schema: Mapping[str, Any] = response_format.schema
    fitting = f" that fits this JSON schema: {orjson.dumps(schema).decode()}" if schema else ""
    return f"Answer with one JSON object{fitting}. Write nothing before it and nothing behind it."
