"""Language models in transformers' format: chat and plain text generation."""

from pathlib import Path
from typing import Any

from deployments import telemetry
from deployments.generation import Generation, Prompt, PromptTooLongError, Sampling, TextGenerator
from deployments.generation.devices import Machine, choose_device, choose_dtype
from deployments.policy.outcome import Outcome, Refused, Usage, judge
from deployments.request import InferenceRequest
from deployments.settings import GenerationDefaults, TextModelSpec

_WARM_UP = Sampling(max_tokens=2, temperature=0.0, budget_s=60.0)


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
        import torch

        from deployments.generation.transformers import TransformersGenerator
        from deployments.sources.acquire import acquire

        machine = Machine.here()
        device = choose_device(spec.device, machine)
        if spec.threads:
            torch.set_num_threads(spec.threads)
        loaded = acquire(spec, cache, choose_dtype(spec.dtype, device, machine), events=telemetry.SourceEvents())
        generator = TransformersGenerator(
            loaded.model.to(device),
            loaded.tokenizer,
            concurrency=spec.concurrency,
            chat=spec.chat,
            long_prompt=spec.long_prompt,
        )
        generator.warm_up(Prompt("Hello"), _WARM_UP)
        return cls(generator, spec.generation, {"format": "huggingface", "name": name, "weights": loaded.name})

    async def infer(self, request: InferenceRequest, budget_s: float) -> Outcome:
        """Answer with generated text."""
        sampling = self._sampling(request, budget_s)
        try:
            generation = await self._generator.generate(Prompt(request.text, request.messages), sampling)
        except PromptTooLongError as error:
            return Refused(str(error))
        return _judge(generation)

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
        )


def _judge(generation: Generation) -> Outcome:
    return judge(
        generation.text.strip(),
        Usage(generation.prompt_tokens, generation.completion_tokens),
        generation.finish_reason,
        empty_reason=f"{generation.completion_tokens} tokens, none of them visible ({generation.finish_reason})",
    )
