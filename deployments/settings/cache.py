"""Earlier answers as a tier before the last resort: see `router.answer_cache`."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from deployments.settings.base import Settings, has_a_port_that_exists
from deployments.settings.remotes import SECRET

MEMORY = "memory"

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s:@/?#\[\]]+)"
Store = Annotated[
    str,
    StringConstraints(pattern=rf"^(memory|rediss?://([^\s@/?#]*@)?{_HOST}(:\d+)?(/\d+)?)$", max_length=1024),
    AfterValidator(has_a_port_that_exists),
]
"""`memory`, or the URL of a Redis."""


class CacheSettings(Settings):
    """Whether an exact earlier answer may be given where no model answers, and how long it is kept."""

    seconds: float = Field(
        0.0, ge=0, le=604_800, description="How long an answer is kept; 0: none is, and identical requests share none."
    )
    store: Store = Field(
        MEMORY,
        description="Where: `memory`, each router for itself, or `redis://host:6379/0`, all routers together.",
        json_schema_extra=SECRET,
    )
    entries: int = Field(
        1024,
        ge=1,
        le=1_000_000,
        description="How many answers are kept in `memory`; one counts for each 16 KiB that it has.",
    )
    share: bool = Field(
        True, description="Identical requests that are in flight in one router at once share the answer of the first."
    )
