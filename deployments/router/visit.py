"""A request that came with a key: let in, held to the rights of its key, and settled when it ends.

A candidate that the key does not allow is no candidate: nothing that happens to the request can lead to it. It stands
in the trace as refused, before all attempts.
"""

from contextlib import AbstractContextManager

from msgspec.structs import replace

from deployments.access.gate import Gate
from deployments.access.grant import Grant
from deployments.access.holder import Holder
from deployments.observability.key_metrics import key_asked, key_used
from deployments.policy.answer import Answer
from deployments.policy.attempt import Ended, Tier
from deployments.policy.outcome import Refused
from deployments.policy.stream_events import StreamHead, TextDelta
from deployments.policy.token_estimate import estimate_tokens, size_of, tokens_of_size
from deployments.request import InferenceRequest
from deployments.request.prompt_estimate import estimate_prompt_tokens
from deployments.router.routing import ChainBuilder
from deployments.settings import PolicySettings

_UNPAID = frozenset({Tier.LAST_RESORT, Tier.CACHE})
"""The tiers whose answers no model has written."""


class Visit:
    """One request with a key."""

    def __init__(
        self,
        gate: Gate,
        key: str,
        grant: Grant | None,
        refused: tuple[Ended, ...],
        request: InferenceRequest,
        asked: str,
    ) -> None:
        """Note what a request of the key named `key` was granted, and which candidates were `refused` to it."""
        self._gate, self._key, self._grant, self._refused = gate, key, grant, refused
        self._request = request
        self._size = self._pieces = 0
        self._writer = asked

    @property
    def allows_backup(self) -> bool:
        """Whether the key lets the backup be asked."""
        return not any(ended.candidate.tier is Tier.BACKUP for ended in self._refused)

    def traced(self, answer: Answer) -> Answer:
        """Return `answer` with the refused candidates in its trace."""
        return replace(answer, attempts=(*self._refused, *answer.attempts)) if self._refused else answer

    def headed(self, head: StreamHead) -> StreamHead:
        """Return `head` with the refused candidates in its trace."""
        return replace(head, attempts=(*self._refused, *head.attempts)) if self._refused else head

    def wrote(self, piece: TextDelta) -> None:
        """Note a piece of a streamed answer, if a model has written it."""
        if piece.served_by not in _UNPAID:
            self._size += size_of(piece.text)
            self._pieces += bool(piece.text)
            self._writer = piece.model

    def answered(self, answer: Answer) -> None:
        """Charge what the answer took: by its model's own counts, or estimated. What no model has written is free.

        A stream that a model has begun and the last resort has ended takes what the model has written.
        """
        key_asked(self._key, "answered")
        if answer.served_by in _UNPAID and not self._pieces:
            self._settle(0.0, 0.0)
        elif answer.served_by in _UNPAID:
            self._charge(self._writer, estimate_prompt_tokens(self._request), self._written)
        elif answer.usage is not None:
            self._charge(answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens)
        else:
            written = estimate_tokens(answer.result) if isinstance(answer.result, str) else 0
            self._charge(answer.model, estimate_prompt_tokens(self._request), written)

    def withdraw(self) -> None:
        """Give back what was granted: the request was not begun after all."""
        if self._grant is not None:
            self._grant.withdraw()

    def rejected(self) -> None:
        """Charge nothing: no model has answered."""
        key_asked(self._key, "rejected")
        self._settle(0.0, 0.0)

    def abandoned(self) -> None:
        """Charge the prompt and what was written by then: to leave before the end is not free."""
        key_asked(self._key, "abandoned")
        self._charge(self._writer, estimate_prompt_tokens(self._request), self._written)

    @property
    def _written(self) -> int:
        """The tokens that models have written of a streamed answer, estimated."""
        return tokens_of_size(self._size, self._pieces)

    def _charge(self, model: str, prompt: int, written: int) -> None:
        self._settle(float(prompt + written), self._gate.price(model, prompt, written))

    def _settle(self, tokens: float, money: float) -> None:
        key_used(self._key, tokens, money)
        if self._grant is not None:
            self._grant.settle(tokens, money)


def traced(answer: Answer, visit: Visit | None) -> Answer:
    """Return `answer` with the candidates in its trace that were refused to its key, if it came with one."""
    return answer if visit is None else visit.traced(answer)


async def begin_visit(
    holder: Holder,
    gate: Gate,
    chains: ChainBuilder,
    request: InferenceRequest,
    policy: PolicySettings,
    started: float,
    arrival: AbstractContextManager[None],
) -> Visit:
    """Let `request` in that arrived at `started` with the key of `holder`.

    While the routers are asked what is left of its key, it counts as one that arrives: `arrival` is held.

    Raises:
        InvalidRequestError: its key does not allow the model that it asks for (403), or has reached a limit (429).
    """
    asked = chains.asked(request, policy)
    refused = tuple(
        Ended(candidate, started, started, Refused(why)) for candidate, why in chains.refused(request, policy)
    )
    with arrival:  # last: an error of ours behind it would leave what is granted taken for ever
        grant = await gate.let_in(holder, request, asked)
    return Visit(gate, holder.name, grant, refused, request, asked)
