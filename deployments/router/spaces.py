"""Vectors are answered for within one vector space only: by no text, and by no vector of another space.

    asked      a request is for the space of the model that it asks for; or it says `task: feature-extraction`
    candidate  one of another space is not asked, and the trace says so; a text is a space of its own, the empty one

A vector that is not of the space would be compared with others as if it were, and nobody would ever notice.
"""

from collections.abc import Callable

from deployments.execution.attempt import ModelClient, NotAsked
from deployments.policy.attempt import Candidate
from deployments.policy.last_resort import LastResort
from deployments.policy.no_vector import NoVector
from deployments.policy.outcome import Refused
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request import InferenceRequest
from deployments.request.native import VECTOR_TASK
from deployments.request.ranking import RANKING_TASK, pairs_in
from deployments.router.registry import Registry
from deployments.upstream import UpstreamPool


class VectorSpaces:
    """Tells which candidates may answer for the model that a request asks for."""

    def __init__(self, registry: Registry, upstreams: UpstreamPool) -> None:
        """Judge by the spaces of the models in `registry`; a name in `upstreams` is no model of it."""
        self._registry = registry
        self._upstreams = upstreams

    def of(self, model: str) -> str:
        """Return the vector space of the model of that name; empty where its answers are no vectors."""
        remote = self._upstreams.find(model)
        return self._registry.space_of(model) if remote is None else remote.space

    @property
    def _has_spaces(self) -> bool:
        return self._registry.has_spaces or self._upstreams.has_spaces

    def asks_for_vectors(self, request: InferenceRequest, asked: str) -> bool:
        """Return whether nothing but vectors answers `request`, which is meant for the model `asked`."""
        return request.vectors or bool(self._has_spaces and self.of(asked))

    def last_tier(self, message: str, request: InferenceRequest, asked: str) -> LastResort | NoVector:
        """Return what answers `request` where no model does; `message` is the policy's."""
        if self.asks_for_vectors(request, asked):
            return NoVector(self.of(asked))
        return LastResort(message, request.response_format.demands_form)

    def require_vectors_whole(self, request: InferenceRequest, asked: str) -> None:
        """Refuse a request for vectors that no model could ever answer.

        Raises:
            InvalidRequestError: it is to be streamed, is a chat or goes on with a text, or is meant for a model that
                gives no vectors.
        """
        if not self.asks_for_vectors(request, asked):
            return
        if request.stream:
            raise InvalidRequestError(Problem("stream", "is true, and the answer a vector", "false: it comes whole"))
        if request.messages or request.turns:
            raise InvalidRequestError(Problem("messages", "are given to a model of vectors", "text, or input"))
        if self.of(asked) or self._is_unseen(asked):
            return
        task, lacks = (
            (RANKING_TASK, "scores no pairs") if pairs_in(request.inputs) else (VECTOR_TASK, "gives no vectors")
        )
        accepted = f"a model of the task {task}, or one whose spec names a space"
        if self._registry.knows(asked) or self._upstreams.find(asked) is not None:
            raise InvalidRequestError(Problem("model", lacks, accepted))
        raise InvalidRequestError(Problem("model", "is not known", accepted, status=404, code="model_not_found"))

    def held_to(
        self, client_of: Callable[[Candidate], ModelClient], request: InferenceRequest, asked: str
    ) -> Callable[[Candidate], ModelClient]:
        """Return `client_of` with a refusal in the place of the models that are of another space than `asked`."""
        if not (request.vectors or self._has_spaces):
            return client_of

        def client_within_space(candidate: Candidate) -> ModelClient:
            space, its = self.of(asked), self.of(candidate.model)
            unseen = candidate.model == asked and self._is_unseen(asked)
            if its == space and (space or unseen or not request.vectors):
                return client_of(candidate)
            return NotAsked(Refused(_why(its, space)))

        return client_within_space

    def _is_unseen(self, model: str) -> bool:
        """Return whether it is not known yet what the model of that name gives: it is not built, or not looked for."""
        return self._upstreams.find(model) is None and self._registry.find(model).offer is None


def _why(its: str, space: str) -> str:
    if not its:
        return f"it gives no vectors of the space {space}" if space else "it gives no vectors"
    return f"its vectors are of the space {its}, not of {space}" if space else "it gives vectors, and no text"
