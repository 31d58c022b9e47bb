"""Whose key a request has come with. It goes along with the tasks of the request, and never with the request itself."""

from contextvars import ContextVar

from msgspec import Struct
from msgspec.structs import replace

from deployments.access.measure import Measure
from deployments.access.rights import Rights


class Holder(Struct, frozen=True):
    """A key that was recognized.

    Attributes:
        name: what logs and `/status` call the key.
        id: the part of the key that names it.
        rights: what it may reach.
        limits: how much of what it may use; a measure without a limit is not counted.
        admin: it may see and change the service.
    """

    name: str
    id: str
    rights: Rights
    limits: dict[Measure, float]
    admin: bool = False


_OF_QUESTIONS = (Measure.REQUESTS, Measure.CONCURRENT)


def questioner(holder: Holder) -> Holder:
    """Return the holder as what it asks of tokenizers is counted: apart from its requests, and by the same limits.

    Anthropic counts so: whoever counts the tokens of each prompt before it is sent has no fewer prompts for it. A
    question takes no tokens and no money.
    """
    limits = {measure: limit for measure, limit in holder.limits.items() if measure in _OF_QUESTIONS}
    return replace(holder, id=f"{holder.id}?", limits=limits)


HOLDER: ContextVar[Holder | None] = ContextVar("holder", default=None)
"""The holder of the key of the request that the current task works on. `None` where no key is asked for: the service
has none, or the call comes from inside the cluster, through a handle, and is trusted."""
