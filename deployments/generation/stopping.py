"""Stopping a generation, from outside and by the clock.

A stopping criterion is asked after every token, which is too late while a long prompt is read; so every part of every
layer asks before it runs, too (`before_step`), and the work ends within that part's time.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria

from deployments.generation import Sampling
from deployments.generation.detokenizer import Pieces

_MARGIN_S = 0.05
"""Kept of a budget for turning tokens into text and sending it."""


class StoppedError(Exception):
    """Leaves `generate` from within a layer."""


class Ward(StoppingCriteria):  # type: ignore[misc]  # transformers has no types
    """Watches over one request; also the streamer that `generate` gives its tokens to."""

    def __init__(
        self,
        prompt_tokens: int,
        sampling: Sampling,
        cancelled: threading.Event,
        pieces: Pieces,
        emit: Callable[[str], None],
    ) -> None:
        """Watch over one request.

        Args:
            prompt_tokens: how many `generate` begins with.
            sampling: with the budget and the stops.
            cancelled: set by whoever wants no more.
            pieces: makes text of tokens.
            emit: is given the text as it comes; may block.
        """
        self.ends = time.monotonic() + sampling.budget_s - _MARGIN_S
        self.out_of_time = False
        self.written = 0
        self._cancelled = cancelled
        self._prompt_tokens = prompt_tokens
        self._pieces = pieces
        self._emit = emit
        self._prompt_seen = False

    def before_step(self) -> None:
        """Leave the computation if nobody waits for it any more."""
        if self._cancelled.is_set() or (not self.written and time.monotonic() >= self.ends):
            raise StoppedError

    def put(self, ids: torch.Tensor) -> None:
        """`generate` hands over the prompt, then one token after the other."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        if text := self._pieces.add(int(ids.reshape(-1)[0])):
            self._emit(text)

    def end(self) -> None:
        """`generate` has come to its end; what is still held back follows once it is known how."""

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """After every token: which rows of the batch are done."""
        self.written = int(input_ids.shape[1]) - self._prompt_tokens
        self.out_of_time = not self._pieces.stopped and time.monotonic() >= self.ends
        stop = self._pieces.stopped or self.out_of_time or self._cancelled.is_set()
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)


def steps(model: Any) -> list[torch.nn.Module]:
    """The parts of the decoder's layers: attention, feed-forward and norms, whatever the architecture calls them.

    The layers are the longest list of modules in it.
    """
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return [part for layer in max(lists, key=len, default=[]) for part in (layer, *layer.children())]
