"""The endpoints of one upstream: which of them is asked, and which of them next.

    a key (`affinity`)    the one that the key stands for, by weighted rendezvous hashing (Thaler and Ravishankar, 1996)
    no key                of two drawn by weight, the one with less load (Mitzenmacher, The Power of Two Choices, 2001)

An endpoint with an open breaker, or that asked for a pause, is passed over. Where an endpoint fails or is silent, the
others are asked before the attempt has failed: another endpoint goes before another model (`tries`). A single endpoint
has no breaker of its own: that of its model is enough.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from deployments.execution.attempt import Begun
from deployments.policy import breaker
from deployments.policy.breaker import Admission, BreakerState, Closed
from deployments.policy.cooldown import Cooldown
from deployments.policy.hedging import LatencyEstimator
from deployments.policy.outcome import Answered, Finished, Outcome, Refused, StreamEnd
from deployments.policy.resilience import ResiliencePolicy
from deployments.policy.terms import ANY_TERMS, Terms, beyond_terms
from deployments.request import InferenceRequest
from deployments.settings.remotes import EndpointSpec, RemoteSpec
from deployments.upstream.connection import Connection
from deployments.upstream.family import Adapts
from deployments.upstream.formats import REMOTE_FORMATS
from deployments.upstream.tries import Ask, Tries


@dataclass(slots=True, eq=False)
class Endpoint:
    """One endpoint.

    Attributes:
        place: its index among the endpoints of the upstream.
        spec: its address and weight.
        connection: the way to it.
        adaptation: what it has shown not to take.
        state: its breaker.
        cooldown: the pause that it asked for.
    """

    place: int
    spec: EndpointSpec
    connection: Connection
    adaptation: Adapts
    state: BreakerState = field(default_factory=Closed)
    cooldown: Cooldown = field(default_factory=Cooldown)

    @property
    def load(self) -> float:
        """The requests that it has, by its weight."""
        return self.connection.in_flight / self.spec.weight

    def to_json(self) -> dict[str, Any]:
        """Return its state for `/status`."""
        parts = urlsplit(self.spec.base_url)
        return {
            "upstream": f"{parts.scheme}://{parts.netloc}{parts.path}",
            "breaker": type(self.state).__name__.lower(),
            "requests": self.connection.in_flight,
        }


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt on one endpoint.

    Attributes:
        endpoint: who is asked.
        admission: the permission of its breaker.
        started: the time at which the attempt was started.
        terms: the terms of the request.
    """

    endpoint: Endpoint
    admission: Admission
    started: float
    terms: Terms


AskOne = Callable[[Try], Awaitable[Outcome | Begun]]
"""Makes an attempt on one endpoint."""


class Endpoints:
    """All endpoints of one upstream.

    Attributes:
        all: the endpoints, in the order of the spec.
        only: an attempt on the only endpoint; `None` where there are several.
        policy: the breakers' policy, and the longest pause.
    """

    def __init__(self, spec: RemoteSpec, draw: Callable[[], float] = random.random) -> None:
        """Get ready to ask the endpoints of `spec`; `draw` returns numbers in [0, 1)."""
        self.all = tuple(
            Endpoint(place, endpoint, Connection(spec, endpoint), REMOTE_FORMATS[spec.api].adapts(spec))
            for place, endpoint in enumerate(spec.places)
        )
        first, *others = self.all
        unasked = Admission(first.state.epoch, probe=False)  # a single endpoint has no breaker of its own
        self.only = None if others else Try(first, unasked, 0.0, ANY_TERMS)
        self.policy = ResiliencePolicy()
        self._draw = draw
        self._latencies = LatencyEstimator(self.policy.hedging, self.policy.reserves)  # of all of them together

    async def ask(
        self, ask_one: AskOne, key: str, terms: Terms = ANY_TERMS, left_s: float = math.inf
    ) -> Outcome | Begun:
        """Return what the first endpoint gives that does not fail; what the last one gave where all do.

        At most `MOST_TRIES` endpoints are asked: an attempt does not multiply by what the operator has.

        Args:
            ask_one: makes an attempt on one endpoint.
            key: what requests that go to the same endpoint have in common; may be empty.
            terms: the terms of the request.
            left_s: seconds that the attempt may take, until the first content of a stream.
        """
        clock = asyncio.get_running_loop().time
        left = list(self.all)

        def choose() -> tuple[Ask, Callable[[Outcome | Begun], None]] | None:
            if (chosen := self._choose(left, key, clock())) is None:
                return None
            endpoint, admission = chosen
            left.remove(endpoint)
            tried = Try(endpoint, admission, clock(), terms)
            return partial(ask_one, tried), partial(self._note_first, tried)

        patience = self._latencies.patience("", self.policy.silence, terms, suspected=False)
        given = await Tries(choose, patience, left_s).run()
        return self._nobody(clock()) if given is None else given

    def broke(self, tried: Try, end: StreamEnd | Outcome) -> None:
        """Note that the stream of an attempt, which had begun, has not ended properly."""
        if len(self.all) > 1 and not isinstance(end, Finished):
            self._note(tried, end)

    def _nobody(self, now: float) -> Refused:
        waits = [endpoint.cooldown.left_s(now) for endpoint in self.all]
        if all(waits):
            return Refused("all its endpoints asked for a pause", transient=True, retry_after_s=min(waits))
        return Refused("all its endpoints fail or asked for a pause")

    def _note_first(self, tried: Try, result: Outcome | Begun) -> None:
        """Note how a try ended, or that the first content of its stream is there."""
        if isinstance(result, (Begun, Answered)):
            seconds = asyncio.get_running_loop().time() - tried.started
            answer = result if isinstance(result, Answered) else None
            self._latencies.add("", seconds, tried.terms, answer)
        self._note(tried, Finished() if isinstance(result, Begun) else result)

    def _note(self, tried: Try, end: Outcome | StreamEnd) -> None:
        now = asyncio.get_running_loop().time()
        endpoint, span = tried.endpoint, breaker.Span(tried.started, now)
        said = beyond_terms(end, tried.terms)
        endpoint.state = breaker.record(endpoint.state, self.policy.breaker, tried.admission, said, span, self._draw())
        endpoint.cooldown.learn(end, tried.started, now, self.policy.retries.hold_seconds)

    def _choose(self, left: Sequence[Endpoint], key: str, now: float) -> tuple[Endpoint, Admission] | None:
        """Return the endpoint to ask next, with its permission; `None` where no one of `left` may be asked."""
        candidates = [endpoint for endpoint in left if not endpoint.cooldown.left_s(now)]
        while candidates:
            endpoint = max(candidates, key=lambda each: _score(each, key)) if key else self._less_loaded(candidates)
            state, admission = breaker.admit(endpoint.state, self.policy.breaker, now)
            if isinstance(admission, Admission):
                endpoint.state = state
                return endpoint, admission
            candidates.remove(endpoint)
        return None

    def _less_loaded(self, candidates: Sequence[Endpoint]) -> Endpoint:
        first = self._drawn(candidates)
        others = [endpoint for endpoint in candidates if endpoint is not first]
        return min(first, self._drawn(others), key=lambda each: each.load) if others else first

    def _drawn(self, candidates: Sequence[Endpoint]) -> Endpoint:
        """Return one of `candidates`, each as likely as its weight."""
        rest = self._draw() * sum(endpoint.spec.weight for endpoint in candidates)
        for endpoint in candidates:
            rest -= endpoint.spec.weight
            if rest < 0:
                return endpoint
        return candidates[-1]


def _score(endpoint: Endpoint, key: str) -> float:
    """Return the score of `endpoint` for `key`; the highest one wins as often as its weight says."""
    digest = blake2b(f"{key}\0{endpoint.spec.base_url}".encode(), digest_size=8).digest()
    drawn = (int.from_bytes(digest, "big") + 1) / 2.0**64
    return endpoint.spec.weight / -math.log(min(drawn, 1 - 2.0**-53))


def affinity_key(request: InferenceRequest, affinity: str) -> str:
    """Return what requests that go to the same endpoint have in common; empty where nothing binds them."""
    match affinity:
        case "session":
            sent = request.passthrough
            told = (*map(sent.get, _OF_CACHE), request.user, sent.get(_OF_USER))
            return next((key[:_LONGEST_KEY] for key in told if isinstance(key, str) and key), "")
        case "conversation":
            return _beginning(request.turns or request.messages) or request.text[:_LONGEST_KEY]
        case _:
            return ""


def names_of(spec: RemoteSpec, name: str) -> dict[str, str]:
    """Return what the operator calls the hosts, the deployments and the model, each with what callers read instead."""
    places = [urlsplit(endpoint.base_url) for endpoint in spec.places]
    hosts = {place.hostname or "": "its host" for place in places}
    deployments = {part: name for place in places for part in place.path.split("/deployments/")[1:]}
    return {**hosts, **deployments, spec.model: name}


def _beginning(turns: Sequence[Mapping[str, Any]]) -> str:
    """Return what a conversation begins with and keeps: the contents of its turns, up to the user's first."""
    first: list[str] = []
    for turn in turns[:_FIRST_TURNS]:
        content = turn.get("content")
        first.append((content if isinstance(content, str) else repr(content))[:_LONGEST_KEY])
        if turn["role"] == "user":
            break
    return "\0".join(first)


_FIRST_TURNS = 8
"""Turns of a conversation that are looked through for the user's first."""

_OF_CACHE, _OF_USER = ("prompt_cache_key", "session_id"), "safety_identifier"
"""Fields that are passed on, and say what belongs together: before `user`, as they are made for it, and behind it."""

_LONGEST_KEY = 4096
"""Characters of a key, or of each content in one: a long system turn is not to hide what the user says behind it."""
