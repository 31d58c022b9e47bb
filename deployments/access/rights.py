"""What a key may reach, whatever else happens: the same rule for the model asked for and for all that stand behind it.

models      a name that no pattern of the key fits is not asked, in whatever tier. The local backup is the service's
            own stand-in: it may answer where the tier `backup` may
tiers       a tier that the key lacks is not asked
boundary    `local`: no remote model is asked; labels: only remote models that have one of them
"""

import re
from collections.abc import Collection, Sequence

from msgspec import Struct

from deployments.policy.attempt import Candidate, Tier

LOCAL: None = None
"""The labels of a model of our own."""

_BEYOND = "beyond the rights of this key"


class Rights(Struct, frozen=True):
    """The rights of one key.

    Attributes:
        number: tells these rights from all others that this process has read.
        models: the patterns of names, as one expression; `None` for any name.
        tiers: the tiers with models that may answer.
        boundary: the labels of remote models that may be asked; `None` for all of them, labelled or not.
    """

    number: int
    models: re.Pattern[str] | None = None
    tiers: frozenset[Tier] = frozenset({Tier.PRIMARY, Tier.BACKUP})
    boundary: frozenset[str] | None = None

    @property
    def text(self) -> str:
        """The same text for the same rights, in every process."""
        models = "*" if self.models is None else self.models.pattern
        boundary = "*" if self.boundary is None else ",".join(sorted(self.boundary))
        return f"{models};{','.join(sorted(self.tiers))};{boundary}"

    def refuse_model(self, model: str, labels: Collection[str] | None) -> str:
        """Return why `model` may not be asked for by its name; empty where it may.

        Args:
            model: its name.
            labels: those of a remote model; `LOCAL` for a model of our own, or one that does not exist.
        """
        if self.models is not None and not self.models.fullmatch(model):
            return f"{_BEYOND}: models"
        return self._refuse_labels(labels)

    def refuse(self, candidate: Candidate, labels: Collection[str] | None) -> str:
        """Return why `candidate` may not answer; empty where it may. `labels` as in `refuse_model`."""
        if candidate.tier not in self.tiers:
            return f"{_BEYOND}: tiers"
        if candidate.tier is Tier.BACKUP and labels is LOCAL:
            return ""
        return self.refuse_model(candidate.model, labels)

    def _refuse_labels(self, labels: Collection[str] | None) -> str:
        if labels is LOCAL or self.boundary is None or not self.boundary.isdisjoint(labels):
            return ""
        return f"{_BEYOND}: boundary"


def as_expression(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """Return what the names fit that one of `patterns` fits; `None` where that is any name."""
    if "*" in patterns:
        return None
    return re.compile("|".join(".*".join(map(re.escape, re.split(r"\*+", each))) for each in patterns))
