"""What an operator does by hand: hold a breaker open or reset it, drain a model, send a share of the traffic behind.

    held, drained   the model is asked nothing new; what is under way goes on
    share           so many requests begin with the backup; their primaries are asked where it does not answer
    reset           the breaker closes, and what speaks against the model is forgotten

Every router has the same: an act goes to all of them, and a router that starts asks the others. Of two acts on one
model, or on the share, the later one stands, in whatever order a router hears of them; acts on different ones leave
each other alone. Nothing is kept beyond the life of the last router.
"""

import math
import random
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from deployments.execution.attempt import ModelClient, NotAsked
from deployments.observability import log
from deployments.policy.attempt import Candidate, Tier
from deployments.policy.outcome import PUT_BEHIND, Refused
from deployments.policy.problem import InvalidRequestError, Problem
from deployments.request.acts import Act, ActKind

MOST_MODELS = 256
"""Models that are held or drained at a time."""

BEHIND = f"{PUT_BEHIND}, as the operator sends a share of the traffic to the backup"


class Hold(StrEnum):
    """Why a model is asked nothing new."""

    HELD = "held"
    DRAINED = "drained"


_HOLDS = {ActKind.HOLD: Hold.HELD, ActKind.DRAIN: Hold.DRAINED}
_REASONS = {Hold.HELD: "its breaker is held open by the operator", Hold.DRAINED: "it is drained by the operator"}


class Interventions(Struct, frozen=True):
    """What holds now.

    Attributes:
        holds: the models that are asked nothing new, and why.
        backup_share: the share of requests that begin with the backup, from 0 to 1.
        changed_at: when it was last changed, in seconds since 1970; 0 for never.
        acted: when each model was last acted on, and the share, which has no name; of models not held, the last ones.
    """

    holds: Mapping[str, Hold] = {}
    backup_share: float = 0.0
    changed_at: float = 0.0
    acted: Mapping[str, float] = {}

    def after(self, subject: str, at: float, hold: Hold | None, share: float) -> "Interventions":
        """Return what holds once `subject`, a model or the share, has been acted on at that time."""
        holds = {model: held for model, held in self.holds.items() if model != subject}
        if hold is not None:
            holds[subject] = hold
        acted = {**self.acted, subject: at}
        spare = sorted((name for name in acted if name and name not in holds), key=lambda name: acted[name])
        for name in spare[: max(0, len(spare) - MOST_MODELS)]:
            del acted[name]
        return Interventions(holds, self.backup_share if subject else share, max(self.changed_at, at), acted)

    @property
    def is_any(self) -> bool:
        """Whether a request is treated otherwise than without an operator."""
        return bool(self.holds or self.backup_share)


NO_INTERVENTIONS = Interventions()


class Hands:
    """The interventions in one router."""

    def __init__(self) -> None:
        """Begin without any."""
        self._now = NO_INTERVENTIONS

    def describe(self) -> dict[str, Any]:
        """Return what holds now, for `/status` and for routers that start."""
        told: dict[str, Any] = to_builtins(self._now)
        return told

    def adopt(self, told: Mapping[str, Any]) -> None:
        """Take over what another router `told`, as far as it is newer than what holds here.

        Raises:
            msgspec.ValidationError: it is no description of interventions.
        """
        theirs = convert(told, Interventions)
        after = self._now
        if not theirs.acted and theirs.changed_at > after.changed_at:  # of a version that tells only that
            known = ("", *theirs.holds, *after.acted)
            after = replace(theirs, acted=dict.fromkeys(known, theirs.changed_at))
        for subject, at in theirs.acted.items():
            if at > self._now.acted.get(subject, 0.0):
                after = after.after(subject, at, theirs.holds.get(subject), theirs.backup_share)
        if after is not self._now:
            self._change(after)

    def moment(self, now: float) -> float:
        """Return the time of an act that is asked for `now`: behind the one before, by whatever clock."""
        return max(now, math.nextafter(self._now.changed_at, math.inf))

    def do(self, act: Act, at: float) -> None:
        """Do what an operator has asked for at that time, in seconds since 1970; a later act on the same stands.

        Raises:
            InvalidRequestError: too many models are held or drained already.
        """
        holds, hold = self._now.holds, _HOLDS.get(act.kind)
        subject = "" if act.kind is ActKind.SHIFT else act.model
        if at < self._now.acted.get(subject, 0.0):
            return
        if hold is not None and len(holds) >= MOST_MODELS and act.model not in holds:
            message = f"is one more than {MOST_MODELS} that are held or drained"
            raise InvalidRequestError(Problem("model", message, "a release of another one before"))
        self._change(self._now.after(subject, at, hold, act.share))

    def applied_to(self, client_of: Callable[[Candidate], ModelClient]) -> Callable[[Candidate], ModelClient]:
        """Return `client_of` for one request, with a refusal in the place of models that are not asked."""
        now = self._now
        if not now.is_any:
            return client_of
        behind = random.random() < now.backup_share  # noqa: S311 - no secret
        passed: set[Candidate] = set()

        def client_by_hand(candidate: Candidate) -> ModelClient:
            if (hold := now.holds.get(candidate.model)) is not None:
                return NotAsked(Refused(_REASONS[hold]))
            if behind and candidate.tier is Tier.PRIMARY and candidate not in passed:
                passed.add(candidate)
                return NotAsked(Refused(BEHIND))
            return client_of(candidate)

        return client_by_hand

    def _change(self, after: Interventions) -> None:
        self._now = after
        log.intervened({model: hold.value for model, hold in after.holds.items()}, after.backup_share)
