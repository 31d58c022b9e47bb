"""The limits of one model's streams, which go before the policy's."""

from pydantic import Field

from deployments.policy.continuation import StreamLimits
from deployments.settings.base import Seconds, Settings


class StreamLimitSettings(Settings):
    """What may be said of the silences of one model; where nothing is, the policy's `streams` hold."""

    first_content_seconds: Seconds | None = Field(
        None,
        description="In the place of the policy's `streams.first_content_seconds`, and not held to a third of the "
        "deadline; the backup's reserve stays.",
    )
    reasoning_seconds: Seconds | None = Field(None, description="In the place of `streams.reasoning_seconds`.")
    stall_seconds: Seconds | None = Field(None, description="In the place of `streams.stall_seconds`.")

    def to_limits(self) -> StreamLimits:
        """The same as a value of the policy."""
        return StreamLimits(self.first_content_seconds, self.reasoning_seconds, self.stall_seconds)
