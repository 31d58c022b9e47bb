"""The parts of the policy that decide who is asked, when, and for how long."""

from typing import Self

from pydantic import Field, model_validator

from deployments.settings.base import ModelId, Seconds, Settings, Share


class ReserveSettings(Settings):
    """How much of a request's deadline is kept for the tiers behind the first.

    The backup's reserve follows how long the backup has been taking, within these bounds.
    """

    backup_min_seconds: Seconds = Field(1.0, description="Kept for the backup at the least.")
    backup_max_seconds: Seconds = Field(10.0, description="At the most, and until it has been seen answering.")
    backup_quantile: Share = Field(0.95, description="The quantile of the backup's latency that is followed.")
    backup_share: Share = Field(0.5, description="The largest share of a deadline this reserve may take.")
    last_resort_seconds: Seconds = Field(0.1, description="Kept for sending the last-resort message.")
    last_resort_share: Share = Field(0.2, description="The largest share of a deadline this reserve may take.")

    @model_validator(mode="after")
    def _leave_time_for_the_model(self) -> Self:
        if self.backup_share + self.last_resort_share >= 1:
            raise ValueError(
                "backup_share and last_resort_share leave no time for the model; accepted: below 1 together"
            )
        if self.backup_min_seconds > self.backup_max_seconds:
            raise ValueError("backup_min_seconds is above backup_max_seconds; accepted: at most that")
        return self


class RetrySettings(Settings):
    """Asking the same model once more after a transient failure, before another one is asked."""

    max: int = Field(2, ge=0, le=10, description="Times a model is asked again in one request.")
    base_seconds: Seconds = Field(0.05, description="The first pause; each later one is twice as long.")
    cap_seconds: Seconds = Field(1.0, description="The longest pause of our own choosing.")
    patience_seconds: Seconds = Field(3.0, description="The longest `retry-after` that is waited for.")
    budget_share: Share = Field(
        0.2, description="Retries may be this share of the requests, so that they multiply no outage."
    )


class HedgeSettings(Settings):
    """Starting the backup beside a model that takes longer than it usually does."""

    enabled: bool = Field(True, description="Whether that is done.")
    quantile: Share = Field(
        0.95, description="Beyond this quantile of its own latency, and the backup's usual one, a model counts as slow."
    )
    min_samples: int = Field(20, ge=1, description="Answers of a model before its quantile is believed.")
    budget_share: Share = Field(0.05, description="Hedges may be this share of the requests.")


class BreakerSettings(Settings):
    """When a model is left alone, and for how long."""

    failures: int = Field(5, ge=1, description="Failures in a row that open a model's breaker.")
    failure_rate: Share = Field(0.5, description="The share of failures within the window that opens it, too.")
    window_seconds: Seconds = Field(30.0, description="The window.")
    window_min_attempts: int = Field(20, ge=1, description="Attempts within the window before the share is believed.")
    open_seconds: Seconds = Field(1.0, description="Seconds until it lets a probe through; twice as long each time.")
    open_max_seconds: Seconds = Field(10.0, description="The longest that a breaker stays open.")
    probes: int = Field(1, ge=1, description="Attempts let through at a time while half-open.")


class AdmissionSettings(Settings):
    """How many requests one router has in flight."""

    max_in_flight: int = Field(1024, ge=1, description="Requests in one router; beyond, the last resort at once.")
    min_limit: int = Field(2, ge=1, description="Attempts at a time that any model is allowed by one router.")
    max_limit: int = Field(512, ge=1, description="The most the adaptive limit of a model may grow to.")
    tolerance: float = Field(
        2.0, ge=1, le=100, description="A model that takes this many times its unloaded latency is full."
    )
    patience_seconds: Seconds = Field(
        0.25, description="No model is full before it takes so long, whatever it takes unloaded."
    )
    backup_reserved_share: Share = Field(
        0.5, description="Of the backup's limit, kept for requests whose own model has failed."
    )


class StreamSettings(Settings):
    """How long a stream may be silent, and how much of it there may be."""

    first_content_seconds: Seconds = Field(
        10.0, description="Until the first content, then the next tier is started; at most a third of the deadline."
    )
    stall_seconds: Seconds = Field(10.0, description="A silence within a stream that counts as its failure.")
    continue_seconds: Seconds = Field(
        10.0, description="Until a broken stream is continued; then the last-resort message ends it."
    )
    max_seconds: Seconds = Field(300.0, description="The whole of a stream; then it ends with what there is.")
    max_characters: int = Field(1 << 20, ge=1024, description="The longest text that is streamed.")


class RescueSettings(Settings):
    """What the models say about a request that is passed on to its caller, unless it is to be rescued."""

    invalid: bool = Field(False, description="Ask the next tier when a model calls a request invalid.")
    content_filter: bool = Field(False, description="Ask the next tier when a model's filter withholds an answer.")


class ModelSettings(Settings):
    """What the routers are to know of one model."""

    fallbacks: tuple[ModelId, ...] = Field(
        (), description="Models asked in its place, in this order, before the backup."
    )
