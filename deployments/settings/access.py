"""Who may ask: the part of the policy that says so. The keys themselves are in a file of their own: see `keys`."""

from typing import Self

from pydantic import Field, model_validator

from deployments.settings.base import NonEmpty, Settings


class AccessSettings(Settings):
    """Who may ask. Without keys: whoever reaches the port, which is then this machine's own unless `open` says so."""

    keys: NonEmpty | None = Field(
        None,
        description="The file with the keys, or a folder with one file for each; read again when it changes. A request "
        "without a valid key is then refused. `neverblank key` writes it.",
    )
    open: bool = Field(
        False,
        description="Whoever reaches the port may ask, without a key. Without this and without `keys`, the service "
        "does not start on an address that other machines can reach.",
    )

    @model_validator(mode="after")
    def _open_or_locked(self) -> Self:
        if self.open and self.keys is not None:
            raise ValueError("open: is true, and there are keys; accepted: one of the two")
        return self


class PriceSettings(Settings):
    """What the tokens of one model cost, in whatever currency the budgets of keys are in."""

    input: float = Field(
        0.0, ge=0, le=1e6, allow_inf_nan=False, description="The price of a million tokens that it reads."
    )
    output: float = Field(
        0.0, ge=0, le=1e6, allow_inf_nan=False, description="The price of a million tokens that it writes."
    )

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The price of so many tokens."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6
