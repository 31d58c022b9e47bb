"""Asks the tokenizer of the model that a caller names: nobody else's would do, so nobody stands in for it.

a model of our own with a tokenizer    its answer
a remote model, or one without         400 that names the model
no model of that name                  404
not ready, or not in time              an answer that is `unavailable`: 503
"""

import asyncio

from deployments.policy.answer import Answer
from deployments.policy.attempt import Tier
from deployments.policy.no_tokens import no_tokens
from deployments.policy.outcome import UNKNOWN_MODEL, Answered, Outcome, Refused, Rejected
from deployments.policy.problem import MODEL_NOT_FOUND, UNSUPPORTED, InvalidRequestError, Problem
from deployments.request.tokens import TokensRequest
from deployments.router.registry import Registry
from deployments.upstream import UpstreamPool

_RETRY_AFTER_S = 1.0


class Tokenizers:
    """The tokenizers of the models that a router knows."""

    def __init__(self, registry: Registry, upstreams: UpstreamPool, backup_name: str) -> None:
        """Ask models of `registry`; its backup is called `backup_name`, and models in `upstreams` cannot be asked."""
        self._registry = registry
        self._upstreams = upstreams
        self._backup_name = backup_name

    async def ask(self, asked: TokensRequest, model: str) -> Answer:
        """Return what the tokenizer of `model` answers; an answer that is `unavailable` where it does not.

        Raises:
            InvalidRequestError: the model has no tokenizer that can be asked, does not exist, or refuses the question.
        """
        if self._upstreams.find(model) is not None:
            message, accepted = "is remote, and has its tokenizer elsewhere", "a model of our own"
            raise InvalidRequestError(Problem("model", message, accepted, code=UNSUPPORTED))
        try:
            async with asyncio.timeout(asked.request.timeout_s):
                await self._registry.first_look(asyncio.get_running_loop().time() + asked.request.timeout_s)
                outcome = await self._outcome(asked, model)
        except TimeoutError:
            return no_tokens(
                f"The tokenizer of {model} did not answer in {asked.request.timeout_s:g} s.", _RETRY_AFTER_S
            )
        match outcome:
            case Answered(result):
                return Answer(result, model, Tier.PRIMARY, degraded=False, attempts=())
            case Rejected(reason, field, code):
                problem = Problem(field, f"was refused by the model: {reason}", "what it takes", code=code)
                raise InvalidRequestError(problem)
            case Refused(reason) if reason == UNKNOWN_MODEL:
                accepted = "one of those in GET /v1/models"
                raise InvalidRequestError(Problem("model", "does not exist", accepted, 404, code=MODEL_NOT_FOUND))
            case _:
                return no_tokens(f"The tokenizer of {model} cannot be asked now: {outcome.reason}.", _RETRY_AFTER_S)

    async def _outcome(self, asked: TokensRequest, model: str) -> Outcome:
        if model == self._backup_name:
            return await self._registry.backup.tokenize(asked)
        return await self._registry.find(model).tokenize(asked)
