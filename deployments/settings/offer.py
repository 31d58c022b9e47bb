"""What the models of an application offer, which routers have to know even while none of them is loaded.

It is in the environment of the deployment's replicas, where whoever asks Serve finds it. An application that Serve has
not built yet has no deployment: then it is read from the files that the application's arguments name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.settings.applications import AppArguments, ModelArguments, PoolArguments, read_arguments
from deployments.settings.errors import SettingsError
from deployments.settings.server_specs import ServerSpec
from deployments.settings.specs import ModelSpec, read_model_spec, read_pool_spec

OFFER_VARIABLE = "NEVERBLANK_OFFER"
"""The variable that holds an offer, as JSON."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the models of one application offer.

    Attributes:
        spaces: the vector space of each model that gives vectors, by the model's id.
        passes_on: the kinds of requests (`chat`, `text`) that reach a server of OpenAI's format as they were sent;
            none where the models are our own.
    """

    spaces: Mapping[str, str] = field(default_factory=dict)
    passes_on: frozenset[str] = frozenset()

    @classmethod
    def of(cls, models: Sequence[ModelSpec]) -> "Offer":
        """Return what `models` offer."""
        servers = (model for model in models if isinstance(model, ServerSpec))
        return cls(
            {model.id: model.vector_space for model in models if model.vector_space},
            frozenset(kind for server in servers for kind in server.passes_on),
        )

    @classmethod
    def declared_by(cls, application: Mapping[str, Any]) -> "Offer | None":
        """Return what an application will offer, by the files that its entry in a Serve config names.

        `None` where there is no entry, or they cannot be read: they may be on another node. What is wrong is for the
        application's build to tell.
        """
        if not application:
            return None
        try:
            match read_arguments(application, "serve_config"):
                case ModelArguments(spec=spec):
                    return cls.of((read_model_spec(spec),))
                case PoolArguments(pool=pool):
                    return cls.of(read_pool_spec(pool)[1])
                case AppArguments() | None:
                    return cls()
        except SettingsError:
            return None

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> "Offer":
        """Return the offer in the environment of a replica."""
        if not (text := variables.get(OFFER_VARIABLE)):
            return cls()
        told: Mapping[str, Any] = json.loads(text)
        return cls(told["spaces"], frozenset(told["passes_on"]))

    def to_variables(self) -> dict[str, str]:
        """Return the variables that tell it; none where there is nothing to tell."""
        if self == NO_OFFER:
            return {}
        return {OFFER_VARIABLE: json.dumps({"spaces": self.spaces, "passes_on": sorted(self.passes_on)})}


NO_OFFER = Offer()
"""That of models of our own which give texts, and of whatever is no model at all."""
