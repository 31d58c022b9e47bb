"""What one router says of its models: to callers, to whoever waits for a tier, and to operators."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from deployments.policy.attempt import Tier
from deployments.policy.breaker import Open
from deployments.policy.placement import lost_together
from deployments.policy.resilience import ResilienceState
from deployments.policy.serving_state import ServingState
from deployments.router.canary import Canary
from deployments.router.registry import Registry
from deployments.upstream import UpstreamPool


class Description:
    """The models of one router, described."""

    def __init__(
        self,
        registry: Registry,
        upstreams: UpstreamPool,
        resilience: ResilienceState,
        backup_name: str,
        canary: Canary,
    ) -> None:
        """Describe the models in `registry` and `upstreams`; `backup_name` is the name of the local backup.

        `canary` knows whether the backup has answered when it was exercised.
        """
        self._began = time.time()
        self._canary = canary
        self._registry = registry
        self._upstreams = upstreams
        self._resilience = resilience
        self._backup_name = backup_name

    def models(self, may_name: Callable[[str], bool]) -> dict[str, Any]:
        """Return those models, and the backup, that the caller `may_name`, in the form of OpenAI's list.

        `created` is when a model was last deployed; a remote model came with the deployment of the routers. Of what
        Serve has not told, it is when this router began.
        """
        own, backup = self._registry.models, self._registry.backup
        states = self._states() | {self._backup_name: backup.state}
        data = [
            {
                "id": name,
                "object": "model",
                "created": int(own.get(name, backup).application.deployed_at or self._began),
                "owned_by": "neverblank",
                "state": state,
            }
            for name, state in sorted(states.items())
            if may_name(name)
        ]
        return {"object": "list", "data": data}

    def knows(self, model: str) -> bool:
        """Return whether there is a model of that name."""
        remote = self._upstreams.find(model)
        return model == self._backup_name or remote is not None or self._registry.knows(model)

    def readiness(self) -> dict[str, bool]:
        """Return for each tier whether it could answer; before the first refresh only the last resort.

        The backup tier is ready if the backup is, and is sound. The primary tier is ready if some model is; a remote
        model if its variables are set and its breaker is not open.
        """
        looked = self._registry.has_looked
        return {
            Tier.PRIMARY.value: looked and any(self._is_ready(*model) for model in self._states().items()),
            Tier.BACKUP.value: looked and self._registry.backup.state is ServingState.READY and self._canary.is_sound,
            Tier.LAST_RESORT.value: True,
        }

    def status(self) -> Mapping[str, Any]:
        """Return the models and the backup as `/status` has them."""
        models = {name: entry.to_json() for name, entry in self._registry.models.items()} | self._upstreams.describe()
        return {
            "warnings": self._of_placement(),
            "discovery_trouble": self._registry.trouble,
            "discovery_age_s": round(min(self._registry.age_s(), _AGES_S), 2),
            "models": {name: {**facts, **self._resilience.describe(name)} for name, facts in sorted(models.items())},
            "backup_name": self._backup_name,
            "backup": {**self._registry.backup.to_json(), **self._resilience.describe(self._backup_name)},
        }

    def warnings(self) -> list[str]:
        """Return what an operator should mend before something happens."""
        told = self._of_placement()
        if self._registry.trouble:
            told.append(f"Serve cannot be asked: the models of {self._age()} ago are called ({self._registry.trouble})")
        return told

    def _of_placement(self) -> list[str]:
        backup = self._registry.backup.application
        models = {name: entry.application.hosts for name, entry in self._registry.models.items()}
        return lost_together(backup.hosts, models, backup.all_hosts)

    def _age(self) -> str:
        age_s = self._registry.age_s()
        return f"{age_s:.0f} s" if age_s < _AGES_S else "an unknown time"

    def _is_ready(self, model: str, state: ServingState) -> bool:
        return state is ServingState.READY and not isinstance(self._resilience.state(model), Open)

    def _states(self) -> dict[str, ServingState]:
        remotes = {name: facts["state"] for name, facts in self._upstreams.describe().items()}
        return {name: entry.state for name, entry in self._registry.models.items()} | remotes


_AGES_S = 1e9
"""An age that is none: Serve was never asked successfully."""
