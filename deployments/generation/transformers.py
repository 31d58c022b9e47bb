"""Generation with transformers' `generate`, one thread for each request under way.

Stopping is the point of this module: a request whose caller has gone must give its cores back at once. A
stopping criterion is asked after every token, which is too late while a long prompt is read; so every part of
every layer asks before it runs, too (`_Ward.before_step`), and the work ends within that part's time.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from deployments.generation import Generation, Prompt, PromptTooLongError, Sampling

_MARGIN_S = 0.05
"""Kept of a budget for turning tokens into text and sending it."""


class _StoppedError(Exception):
    """Leaves `generate` from within a layer."""


class _Ward(StoppingCriteria):  # type: ignore[misc]  # transformers has no types
    """Watches over one request."""

    def __init__(self, prompt_tokens: int, sampling: Sampling) -> None:
        self.cancelled = threading.Event()
        self.ends = time.monotonic() + sampling.budget_s - _MARGIN_S
        self.out_of_time = False
        self.written = 0
        self._prompt_tokens = prompt_tokens

    def before_step(self) -> None:
        """Leave the computation if nobody waits for it any more."""
        if self.cancelled.is_set() or (not self.written and time.monotonic() >= self.ends):
            raise _StoppedError

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """After every token: which rows of the batch are done."""
        self.written = int(input_ids.shape[1]) - self._prompt_tokens
        self.out_of_time = time.monotonic() >= self.ends
        stop = self.out_of_time or self.cancelled.is_set()
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)


class TransformersGenerator:
    """A causal language model of transformers."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        concurrency: int,
        chat: Literal["auto", "always", "never"] = "auto",
        long_prompt: Literal["refuse", "truncate"] = "refuse",
    ) -> None:
        """Take over a loaded model.

        Args:
            model: a `PreTrainedModel` on its device.
            tokenizer: its tokenizer.
            concurrency: requests generated at the same time; more wait for a thread.
            chat: whether prompts go through the tokenizer's chat template.
            long_prompt: what becomes of a prompt beyond the model's context.

        Raises:
            ValueError: `chat` is `always`, and the tokenizer has no template.
        """
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat == "always" and not has_template:
            raise ValueError("chat: always is demanded, but the tokenizer has no chat template")
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._chat = has_template and chat != "never"
        self._truncate = long_prompt == "truncate"
        self._context = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 20)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="generate")
        self._current = threading.local()
        self._counting = threading.Lock()
        self._active = 0
        for step in _steps(model):
            step.register_forward_pre_hook(self._before_step)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """See `TextGenerator`. Reading the prompt's tokens is left to the thread, too."""
        loop = asyncio.get_running_loop()
        wards: list[_Ward] = []
        given_up = threading.Event()
        work = loop.run_in_executor(self._threads, self._generate, prompt, sampling, wards, given_up)
        try:
            return await work
        except asyncio.CancelledError:
            given_up.set()
            for ward in wards:
                ward.cancelled.set()
            raise

    def warm_up(self, prompt: Prompt, sampling: Sampling) -> None:
        """Generate once on the calling thread, so that the first request pays for no initialisation."""
        self._generate(prompt, sampling, [], threading.Event())

    def describe(self) -> dict[str, Any]:
        """Engine, device, precision and context."""
        return {
            "engine": "transformers",
            "device": str(self._model.device),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "context": self._context,
            "active": self._active,
        }

    def _generate(
        self, prompt: Prompt, sampling: Sampling, wards: list[_Ward], given_up: threading.Event
    ) -> Generation:
        ids = self._read(prompt, sampling)
        ward = _Ward(int(ids.shape[1]), sampling)
        wards.append(ward)
        if given_up.is_set():  # between the two lines above, or while this waited for a thread
            ward.cancelled.set()
        self._current.ward = ward
        self._count(+1)
        options: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            options["temperature"] = sampling.temperature
        try:
            with torch.inference_mode():
                output = self._model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_tokens,
                    stopping_criteria=StoppingCriteriaList([ward]),
                    **options,
                )
        except _StoppedError:
            return Generation("", int(ids.shape[1]), 0, "deadline")
        finally:
            self._current.ward = None
            self._count(-1)
        written = output[0, ids.shape[1] :]
        text = self._tokenizer.decode(written, skip_special_tokens=True)
        return Generation(text, int(ids.shape[1]), len(written), _finish_reason(ward, len(written), sampling))

    def _read(self, prompt: Prompt, sampling: Sampling) -> torch.Tensor:
        room = self._context - sampling.max_tokens
        ids = self._encode(prompt)
        if len(ids) > room:
            if not self._truncate or room <= 0:
                raise PromptTooLongError(
                    f"the prompt has {len(ids)} tokens, and the context of {self._context} leaves {room} "
                    f"beside {sampling.max_tokens} for the answer"
                )
            ids = ids[-room:]
        return torch.tensor([ids], dtype=torch.long, device=self._model.device)

    def _encode(self, prompt: Prompt) -> list[int]:
        turns = [dict(turn) for turn in prompt.messages]
        if self._chat:
            turns = turns or [{"role": "user", "content": prompt.text}]
            encoded = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
            return list(encoded["input_ids"])
        text = prompt.text or "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns) + "\nassistant:"
        return list(self._tokenizer(text)["input_ids"])

    def _count(self, change: int) -> None:
        with self._counting:
            self._active += change

    def _before_step(self, *_: Any) -> None:
        ward = getattr(self._current, "ward", None)
        if ward is not None:
            ward.before_step()


def _steps(model: Any) -> list[torch.nn.Module]:
    """The parts of the decoder's layers: attention, feed-forward and norms, whatever the architecture calls them.

    The layers are the longest list of modules in it.
    """
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return [part for layer in max(lists, key=len, default=[]) for part in (layer, *layer.children())]


def _finish_reason(ward: _Ward, written: int, sampling: Sampling) -> str:
    if ward.out_of_time:
        return "deadline"
    return "length" if written >= sampling.max_tokens else "stop"
