"""The keys in force: those of a file, until the file holds others that fit.

A file that does not fit changes nothing, and what is wrong with it is told; the keys that were read before stay.
"""

import itertools
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from deployments.access.credential import Credential, StoredHash, hash_secret
from deployments.access.holder import Holder
from deployments.access.measure import Measure
from deployments.access.problems import expired_key, wrong_key
from deployments.access.rights import Rights, as_expression
from deployments.policy.attempt import Tier
from deployments.settings.keys import KeySpec

_NOBODY = StoredHash.of(hash_secret("nobody"))
"""What a key with an unknown id is compared with: a wrong id takes as long as a wrong secret."""

_numbers = itertools.count(1)


class _Key(Struct, frozen=True):
    holder: Holder
    stored: StoredHash
    previous: StoredHash | None
    previous_until: float
    expires: float


class Keyring:
    """The keys of one reading of the file.

    Attributes:
        limited: the holders of keys with limits.
        named: the models that keys name, each with the names of these keys.
    """

    def __init__(self, keys: Mapping[str, KeySpec]) -> None:
        """Hold `keys`, by their names."""
        self._keys = {key.id: _read(name, key) for name, key in keys.items()}
        self.limited = tuple(key.holder for key in self._keys.values() if key.holder.limits)
        self.named: dict[str, list[str]] = {}
        for name, spec in keys.items():
            for model in spec.models:
                if "*" not in model:
                    self.named.setdefault(model, []).append(name)

    def __len__(self) -> int:
        """The number of keys."""
        return len(self._keys)

    def get(self, key_id: str) -> Holder | None:
        """Return the holder of the key with that id; `None` where there is none."""
        key = self._keys.get(key_id)
        return None if key is None else key.holder

    def find(self, sent: Credential, now: float) -> Holder:
        """Return the holder of the key that was sent at `now`, in seconds since 1970.

        Raises:
            InvalidRequestError: there is no such key, or it has expired (401).
        """
        key = self._keys.get(sent.id)
        if key is None:
            _NOBODY.matches(sent.secret)
            raise wrong_key()
        is_known = key.stored.matches(sent.secret)
        if not is_known and key.previous is not None and now < key.previous_until:
            is_known = key.previous.matches(sent.secret)
        if not is_known:
            raise wrong_key()
        if now >= key.expires:
            raise expired_key()
        return key.holder


def _read(name: str, key: KeySpec) -> _Key:
    boundary = None
    if key.boundary != "anywhere":
        boundary = frozenset[str]() if key.boundary == "local" else frozenset(key.boundary)
    tiers = frozenset(Tier(tier) for tier in key.tiers)
    rights = Rights(next(_numbers), as_expression(key.models), tiers, boundary)
    limits = {measure: float(limit) for measure in Measure if (limit := getattr(key, measure.value)) is not None}
    previous = StoredHash.of(key.previous_hash) if key.previous_hash else None
    return _Key(
        Holder(name, key.id, rights, limits, key.admin),
        StoredHash.of(key.hash),
        previous,
        _seconds(key.previous_until, never=0.0),
        _seconds(key.expires, never=float("inf")),
    )


def _seconds(moment: datetime | None, *, never: float) -> float:
    return never if moment is None else moment.timestamp()
