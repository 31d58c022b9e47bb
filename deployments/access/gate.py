"""The gate of one router: who asks, what they may reach, and whether there is any left.

authenticate    the key of a request, before its body is read: 401
refuse_spent    a key that has nothing left, before the body is read: 429
let_in          a request that was read: 403, 429, or a `Grant`
question        a question to a tokenizer: 429, or it goes on
refusals        the candidates that its key does not allow, and why: they are not asked, and stand in its trace
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from time import time
from typing import Any

from deployments.access.clock import Clock, SteadyClock
from deployments.access.counts import KeyCounts
from deployments.access.credential import read_credential
from deployments.access.grant import Grant
from deployments.access.holder import HOLDER, Holder, questioner
from deployments.access.keyring import Keyring
from deployments.access.limits import Exchange, Limiter
from deployments.access.measure import Measure
from deployments.access.overview import KeyOverview
from deployments.access.problems import forbidden, no_key
from deployments.policy.problem import InvalidRequestError
from deployments.request import InferenceRequest
from deployments.request.prompt_estimate import estimate_prompt_tokens
from deployments.settings import PolicySettings, SettingsError, resolve
from deployments.settings.keys import key_files, read_keys

EXPOSED = (
    "other machines can reach the port, and nobody needs a key: name a file of keys (access.keys; `neverblank key` "
    "writes it), or say that this is meant (access.open: true)"
)
"""Why a service does not start."""

TELLS_S = 5.0
"""Seconds within which Serve has to say whether other machines can reach the port; its health checks wait for ten."""

RELOAD_S = 1.0
"""Seconds between two looks at the file of the keys."""

_SHARE_OF_DEADLINE = 0.5
"""The share of its deadline for which a request waits for what the other routers have counted."""

Told = Callable[[int, str], None]
"""Is told of each reading: how many keys are in force, and what is wrong with the file; empty where nothing is."""

Counted = Callable[[str, str], None]
"""Is told of each refusal: the name of the key, empty where there is no valid one, and the code of the error."""


class Gate:
    """Keys, rights and limits in one router."""

    def __init__(
        self, router: str, exchange: Exchange, told: Told, counted: Counted = lambda *_: None, clock: Clock = time
    ) -> None:
        """Begin without keys: everybody is let in.

        Args:
            router: the name of this router, which no other one has.
            exchange: reaches the other routers.
            told: is told of each reading of the file.
            counted: is told of each refusal.
            clock: tells the seconds since 1970.
        """
        self._limiter = Limiter(KeyCounts(router), exchange, SteadyClock(clock))
        self._told, self._counted, self._clock = told, counted, clock
        self._path = self._trouble = ""
        self._keyring: Keyring | None = None
        self._stamp: object = None
        self._policy = PolicySettings()
        self._overview = KeyOverview()
        self._exposed: bool | None = None
        self.hear = self._limiter.hear
        self.exchange_forever = self._limiter.exchange_forever

    @property
    def is_locked(self) -> bool:
        """Whether a key is asked for."""
        return self._keyring is not None

    @property
    def is_private(self) -> bool:
        """Whether only this machine is meant to reach the port: no key is asked for, and it is not said to be open."""
        return self._keyring is None and not self._policy.access.open

    def is_admin(self) -> bool:
        """Return whether the current request may see and change the service: by its key, or as nobody needs one.

        Without keys, whoever can reach the port may, unless the service is open to other machines.
        """
        holder = HOLDER.get()
        return not self._policy.access.open if holder is None else holder.admin

    def require_admin(self) -> None:
        """Check that the current request may see and change the service.

        Raises:
            InvalidRequestError: it may not (403).
        """
        if not self.is_admin():
            holder = HOLDER.get()
            refusal = forbidden("key", "is none of an administrator", "a key with `admin: true`")
            raise self._refuse(holder.name if holder else "", refusal)

    async def require_lock(self, is_exposed: Callable[[], Awaitable[bool]]) -> None:
        """Check that a port which other machines can reach is locked, or meant to be open.

        Serve is asked until it has told once: an instance that runs never binds its port anew.

        Raises:
            RuntimeError: neither is so, or Serve does not tell within `TELLS_S`.
        """
        if self.is_private and self._exposed is None:
            try:
                async with asyncio.timeout(TELLS_S):
                    self._exposed = await is_exposed()
            except Exception as error:
                told = "Serve does not say whether other machines can reach the port, for which nobody needs a key"
                raise RuntimeError(f"{told}: {type(error).__name__} {error}".rstrip()) from error
        if self.is_private and self._exposed:
            raise RuntimeError(EXPOSED)

    def prepare(self, policy: PolicySettings) -> Callable[[], None]:
        """Read the keys that `policy` names, and return what puts them, and the policy, in force.

        Raises:
            SettingsError: they cannot be read, or do not fit.
        """
        path = policy.access.keys or ""
        unchanged = path == self._path
        stamp = None if unchanged or not path else _stamp(path)
        keyring = self._keyring if unchanged else Keyring(read_keys(path)) if path else None

        def put_in_force() -> None:
            self._policy = policy
            if not unchanged:
                self._path, self._keyring, self._stamp, self._trouble = path, keyring, stamp, ""
                if keyring is not None:
                    self._told(len(keyring), "")

        return put_in_force

    async def watch(self) -> None:
        """Read the keys again whenever they have changed, for ever. Where they do not fit, those before stay."""
        while True:
            await asyncio.sleep(RELOAD_S)
            if self._path:
                await self._look(self._path)

    async def _look(self, path: str) -> None:
        stamp = await asyncio.to_thread(_stamp, path)
        if stamp == self._stamp:
            return
        trouble, keyring = "", None
        try:
            keyring = Keyring(await asyncio.to_thread(read_keys, path))
        except SettingsError as error:
            trouble = str(error)
        if path != self._path:  # another file was named meanwhile
            return
        self._stamp = stamp
        if keyring is not None:  # also one without a single key: the last one was revoked
            self._keyring = keyring
        if keyring is not None or trouble != self._trouble:
            self._told(0 if self._keyring is None else len(self._keyring), trouble)
        self._trouble = trouble

    def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Holder:
        """Return the holder of the key in the `headers` of a request, which are named in lower case.

        Raises:
            InvalidRequestError: there is no valid key (401).
        """
        sent = read_credential(headers)
        if sent is None:
            raise self._refuse("", no_key())
        assert self._keyring is not None  # noqa: S101 - nobody is asked for a key where there are none
        try:
            holder = self._keyring.find(sent, self._clock())
        except InvalidRequestError as error:
            self._refuse("", error)
            raise
        self._overview.asked(holder)
        return holder

    def refuse_spent(self, holder: Holder) -> None:
        """Refuse a request that asks a model, before its body is read, where its key has nothing left.

        Raises:
            InvalidRequestError: nothing is left (429).
        """
        if holder.limits:
            try:
                self._limiter.refuse_spent(holder)
            except InvalidRequestError as error:
                self._refuse(holder.name, error)
                raise

    def require_model(self, model: str) -> None:
        """Check that the current request may name `model`.

        Raises:
            InvalidRequestError: its key does not allow that (403).
        """
        holder = HOLDER.get()
        if holder is not None and (why := holder.rights.refuse_model(model, self._labels(model))):
            raise self._refuse(holder.name, forbidden("model", f"{model} is {why}", "one of those in GET /v1/models"))

    def may_name(self, model: str) -> bool:
        """Return whether the current request may name `model`."""
        holder = HOLDER.get()
        return holder is None or not holder.rights.refuse_model(model, self._labels(model))

    async def let_in(self, holder: Holder, request: InferenceRequest, model: str) -> Grant | None:
        """Let a request in that asks for `model`, and reserve what it may use; `None` where the key has no limits.

        Raises:
            InvalidRequestError: the key may not ask for the model (403), or a limit is reached (429).
        """
        self.require_model(model)
        if not holder.limits:
            return None
        try:
            within_s = request.timeout_s * _SHARE_OF_DEADLINE
            return await self._limiter.admit(holder, self._costs(holder, request, model), within_s)
        except InvalidRequestError as error:
            self._refuse(holder.name, error)
            raise

    @asynccontextmanager
    async def question(self, request: InferenceRequest) -> AsyncIterator[None]:
        """Hold while a tokenizer is asked for the current request, which counts towards limits: see `questioner`.

        Raises:
            InvalidRequestError: a limit is reached (429).
        """
        holder = HOLDER.get()
        asking = None if holder is None else questioner(holder)
        if asking is None or not asking.limits:
            yield
            return
        try:
            grant = await self._limiter.admit(asking, {}, request.timeout_s * _SHARE_OF_DEADLINE)
        except InvalidRequestError as error:
            self._refuse(asking.name, error)
            raise
        try:
            yield
        finally:
            grant.settle(0.0, 0.0)

    def price(self, model: str, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what an answer of `model` costs."""
        price = self._policy.prices.get(model)
        return 0.0 if price is None else price.of(prompt_tokens, completion_tokens)

    def left(self, holder: Holder, measure: Measure) -> tuple[float, float]:
        """Return how much of a limit of the key is left, and in how many seconds all of it is again."""
        return self._limiter.left(holder, measure)

    def describe(self, knows: Callable[[str], bool]) -> dict[str, Any]:
        """Return what to tell of the keys, and what is wrong, for `/status`; `knows` tells whether there is a model."""
        if self._keyring is None:
            return {"keys": None}
        told = self._overview.describe(self._keyring, knows, self._limiter.describe)
        return {"trouble": self._trouble, "exchange_trouble": self._limiter.trouble, **told}

    def _costs(self, holder: Holder, request: InferenceRequest, model: str) -> Mapping[Measure, float]:
        if holder.limits.keys() <= {Measure.REQUESTS, Measure.CONCURRENT}:
            return {}
        prompt, answer = estimate_prompt_tokens(request), 0
        if not request.vectors:
            answer = (request.parameters.max_tokens or request.max_tokens_default) * request.choices
        tokens = float(prompt + answer)
        money = self.price(model, prompt, answer)
        return {Measure.TOKENS: tokens, Measure.DAY_TOKENS: tokens, Measure.DAY_MONEY: money}

    def _refuse(self, name: str, error: InvalidRequestError) -> InvalidRequestError:
        """Count a refusal of the key `name`, which is empty where there is no valid one, and return it."""
        self._overview.refused(name or f"({error.problem.code})")
        self._counted(name, error.problem.code)
        return error

    def _labels(self, model: str) -> Collection[str] | None:
        remote = self._policy.remotes.get(model)
        return None if remote is None else remote.labels


def _stamp(path: str) -> object:
    """Return a value that changes when the file, or the folder, at `path` does."""
    try:
        place = resolve(path)
        facts = {file.name: file.stat() for file in (key_files(place) if place.is_dir() else [place])}
        return {name: (each.st_mtime_ns, each.st_size, each.st_ino) for name, each in facts.items()}
    except OSError as error:
        return str(error)
