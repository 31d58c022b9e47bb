"""Faults that a caller has injected into attempts, to see what the service makes of them.

    x-neverblank-fault: error            the primary tier fails
    x-neverblank-fault: cut:5@qwen       the model `qwen` is cut off behind five words
    x-neverblank-fault: hang, blank@backup

An item is `<kind>[:<words>][@<target>]`; the target is a tier or a model, and the primary tier where none is named.
Read only where the policy allows it (`drills.enabled`).
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from deployments.policy.attempt import Candidate, Tier
from deployments.policy.problem import InvalidRequestError, Problem

FAULT_HEADER = "x-neverblank-fault"

MOST_FAULTS = 8
_MOST_WORDS = 10_000
_LONGEST_TARGET = 200
_FORBIDDEN = 403
_UNFAILING = frozenset({Tier.CACHE.value, Tier.LAST_RESORT.value})


class FaultKind(StrEnum):
    """What happens to an attempt."""

    ERROR = "error"  # it fails at once
    BLANK = "blank"  # it gives a blank answer
    HANG = "hang"  # it says nothing, until it is stopped
    CRAWL = "crawl"  # it writes a word every few seconds
    CUT = "cut"  # its stream breaks off behind a few words; a whole answer does not arrive
    GARBAGE = "garbage"  # it gives what cannot be read, or has not the form that is asked for


class InjectedFault(Struct, frozen=True):
    """A fault, and the attempts that it meets.

    Attributes:
        kind: what happens.
        words: the words before a `cut`.
        target: the tier or model whose attempts it meets.
    """

    kind: FaultKind
    words: int
    target: str

    def meets(self, candidate: Candidate) -> bool:
        """Return whether an attempt on `candidate` meets this fault."""
        return self.target in (candidate.tier.value, candidate.model)


def read_faults(headers: Mapping[str, str], *, allowed: bool) -> tuple[InjectedFault, ...]:
    """Return the faults in `x-neverblank-fault`; `headers` are by their names in lower case.

    Raises:
        InvalidRequestError: they are not `allowed` (403), or an item is none.
    """
    value = headers.get(FAULT_HEADER, "").strip()
    if not value:
        return ()
    if not allowed:
        accepted = "no such header, unless the policy says drills.enabled: true"
        raise InvalidRequestError(Problem(FAULT_HEADER, "is not allowed here", accepted, _FORBIDDEN))
    items = value.split(",", MOST_FAULTS)
    if len(items) > MOST_FAULTS:
        raise InvalidRequestError(Problem(FAULT_HEADER, "has too many items", f"at most {MOST_FAULTS}"))
    return tuple(_read(item.strip(), place) for place, item in enumerate(items, 1))


def _read(item: str, place: int) -> InjectedFault:
    what, _, target = item.partition("@")
    kind, colon, words = what.partition(":")
    if kind not in list(FaultKind):
        raise _refuse(place, "is no fault", f"one of: {', '.join(FaultKind)}")
    counted = words.isascii() and words.isdigit() and len(words) <= len(str(_MOST_WORDS)) and int(words) <= _MOST_WORDS
    if colon and not (kind == FaultKind.CUT and counted):
        raise _refuse(place, "has a count that is none", f"cut:<words>, up to {_MOST_WORDS}")
    if len(target) > _LONGEST_TARGET or ("@" in item and not target) or target in _UNFAILING:
        raise _refuse(place, "has no target that can fail", "@primary, @backup, or @ and the name of a model")
    return InjectedFault(FaultKind(kind), int(words) if colon else 1, target or Tier.PRIMARY.value)


def _refuse(place: int, message: str, accepted: str) -> InvalidRequestError:
    return InvalidRequestError(Problem(FAULT_HEADER, f"{message} (item {place})", accepted))
