"""How the backup is exercised: see `router.canary`."""

from typing import Self

from pydantic import Field, model_validator

from deployments.policy.blank import is_blank
from deployments.settings.base import Settings


class CanarySettings(Settings):
    """Asks the local backup though nobody needs it, so that it is known to work before it is needed."""

    every_seconds: float = Field(
        0.0, ge=0, le=3600, description="How often each router asks it a small question; 0: never."
    )
    share: float = Field(
        0.0, ge=0, le=1, description="The share of real requests that it is asked, too. What it answers is discarded."
    )
    prompt: str = Field("Say hello.", max_length=10_000, description="The small question.")
    max_tokens: int = Field(16, ge=1, le=1024, description="The longest answer in tokens; what an exercise may cost.")
    timeout_seconds: float = Field(10.0, ge=0.1, le=300, description="The deadline of an exercise.")
    failures: int = Field(3, ge=1, le=100, description="So many failures in a row, and the backup is not ready.")

    @property
    def is_on(self) -> bool:
        """Whether the backup is exercised at all."""
        return bool(self.every_seconds or self.share)

    @model_validator(mode="after")
    def _not_blank(self) -> Self:
        if is_blank(self.prompt):
            raise ValueError("prompt: must not be blank: a blank question has no answer")
        return self
