"""Stopping `generate`: when the caller has gone, when the budget is used up, and at a stop text.

transformers asks a stopping criterion after every token. That is too late while a long prompt is read. So every part of
every layer asks before it runs, too (`StopController.before_module`), and the work ends within the time of one part.
"""

import threading
from collections.abc import Callable
from typing import Any

import torch
from transformers import StoppingCriteria

from deployments.generation.detokenizer import Detokenizer

NO_END = -1
"""The end token of a text that none ends: transformers compares each token with it, and no token has this id."""

_MARGIN_S = 0.05
"""The part of a budget that is kept for turning tokens into text and sending it."""


class StoppedError(Exception):
    """Raised within a layer to leave `generate`."""


class StopController(StoppingCriteria):  # type: ignore[misc]  # transformers has no types
    """The stopping criterion of one request, and the streamer that `generate` gives its tokens to.

    Attributes:
        out_of_time: whether the budget was used up after the last token.
        written: how many tokens have been written.
        tokens: those tokens.
    """

    def __init__(
        self,
        prompt_tokens: int,
        deadline: float,
        clock: Callable[[], float],
        cancelled: threading.Event,
        detokenizer: Detokenizer,
        emit: Callable[[str], None],
    ) -> None:
        """Stop a request that is about to be generated.

        Args:
            prompt_tokens: how many tokens the prompt has.
            deadline: when its budget is used up, which runs from its arrival, by `clock`.
            clock: seconds since any moment.
            cancelled: is set when nobody waits for the generation any more.
            detokenizer: turns tokens into text.
            emit: is called with each text; may block.
        """
        self.out_of_time = False
        self.written = 0
        self.tokens: list[int] = []
        self._deadline = deadline - _MARGIN_S
        self._clock = clock
        self._cancelled = cancelled
        self._prompt_tokens = prompt_tokens
        self._detokenizer = detokenizer
        self._emit = emit
        self._prompt_seen = False

    def before_module(self) -> None:
        """Raise `StoppedError` if nobody waits any more, or if time is up before the first token."""
        if self._cancelled.is_set() or (not self.written and self._clock() >= self._deadline):
            raise StoppedError

    def put(self, ids: torch.Tensor) -> None:
        """Streamer: `generate` gives the prompt first, then one token after the other."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.tokens.append(int(ids.reshape(-1)[0]))
        if text := self._detokenizer.add(self.tokens[-1]):
            self._emit(text)

    def end(self) -> None:
        """Streamer: `generate` has ended. Does nothing: who called `generate` takes the text that was held back."""

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Criterion: called after every token; returns for each row whether it is done."""
        self.written = int(input_ids.shape[1]) - self._prompt_tokens
        self.out_of_time = not self._detokenizer.stopped and self._clock() >= self._deadline
        stop = self._detokenizer.stopped or self.out_of_time or self._cancelled.is_set()
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)


def layer_modules(model: Any) -> list[torch.nn.Module]:
    """The layers of the decoder and their parts: attention, feed-forward, norms, whatever the architecture calls them.

    The layers are taken to be the longest `ModuleList` in the model.
    """
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return [part for layer in max(lists, key=len, default=[]) for part in (layer, *layer.children())]
