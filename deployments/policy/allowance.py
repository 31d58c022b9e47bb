"""Which extra attempts a request may have at one moment."""

from msgspec import Struct

from deployments.policy.attempt import Candidate


class Allowance(Struct, frozen=True):
    """The extras that are allowed at this moment.

    Attributes:
        retry: the same model may be asked again.
        hedge: a hedge may be started.
        wait: a candidate that is not ready may be waited for.
        skip: candidates that have refused to be an extra; their own turn is still to come.
    """

    retry: bool = True
    hedge: bool = True
    wait: bool = True
    skip: frozenset[Candidate] = frozenset()


EVERYTHING = Allowance()
"""Allows every extra."""
