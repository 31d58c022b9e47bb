"""The router's policy: what people tune while the service runs (the Router's `user_config`)."""

import os
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from deployments.policy.blank import is_blank
from deployments.policy.breaker import BreakerPolicy
from deployments.policy.concurrency_limit import LimitPolicy
from deployments.policy.continuation import StreamRules
from deployments.policy.deadline import Reserves
from deployments.policy.hedging import HedgingPolicy
from deployments.policy.resilience import ResiliencePolicy
from deployments.policy.retry import RetryPolicy
from deployments.settings.base import ModelId, Seconds, Settings
from deployments.settings.files import SettingsError, parse
from deployments.settings.remotes import RemoteSpec
from deployments.settings.resilience import (
    AdmissionSettings,
    BreakerSettings,
    HedgeSettings,
    ModelSettings,
    RescueSettings,
    ReserveSettings,
    RetrySettings,
    StreamSettings,
)

TIMEOUT_VARIABLE = "INFERENCE_TIMEOUT_SECONDS"

DEFAULT_MESSAGE = (
    "I am sorry: none of our models can answer just now. Your request was understood and nothing is wrong with "
    "it. Please try again in a moment."
)


class LastResortSettings(Settings):
    """The answer that needs nothing but the router's memory."""

    message: str = Field(DEFAULT_MESSAGE, description="The text given when no model can answer.")
    status: Literal[200, 503] = Field(200, description="The HTTP status it is given with, same body.")

    @model_validator(mode="after")
    def _not_blank(self) -> Self:
        if is_blank(self.message):
            raise ValueError("message: must not be blank: it is what is said when nothing else can be")
        return self


class PolicySettings(Settings):
    """The policy of all routers."""

    default_model: ModelId | None = Field(
        None, description="Serves requests that name no model. Without it the backup does."
    )
    timeout_seconds: Seconds = Field(
        30.0, description=f"The deadline of requests that set none. `{TIMEOUT_VARIABLE}` overrides it."
    )
    max_timeout_seconds: Seconds = Field(300.0, description="The longest deadline a request may ask for.")
    backup_model: ModelId | None = Field(
        None, description="A remote model that is asked before the local backup whenever another model fails."
    )
    max_request_bytes: int = Field(1 << 20, ge=1024, le=1 << 28, description="The largest request body that is read.")
    reserves: ReserveSettings = ReserveSettings()
    retries: RetrySettings = RetrySettings()
    hedging: HedgeSettings = HedgeSettings()
    breaker: BreakerSettings = BreakerSettings()
    admission: AdmissionSettings = AdmissionSettings()
    streams: StreamSettings = StreamSettings()
    rescue: RescueSettings = RescueSettings()
    models: dict[ModelId, ModelSettings] = Field(
        default_factory=dict, description="What the routers are to know of single models, by their names."
    )
    remotes: dict[ModelId, RemoteSpec] = Field(
        default_factory=dict, description="Models behind OpenAI-compatible upstreams, by the names they get here."
    )
    last_resort: LastResortSettings = LastResortSettings()
    discovery_seconds: Seconds = Field(1.0, le=3.0, description="How often the router asks Serve which models run.")
    log_content: bool = Field(False, description="Write the text of requests into the fallback log lines.")

    @model_validator(mode="after")
    def _timeout_below_its_cap(self) -> Self:
        if self.timeout_seconds > self.max_timeout_seconds:
            raise ValueError(
                f"timeout_seconds: {self.timeout_seconds:g} is above max_timeout_seconds "
                f"({self.max_timeout_seconds:g}); accepted: at most that"
            )
        return self

    @model_validator(mode="after")
    def _names_that_fit_together(self) -> Self:
        if self.backup_model is not None and self.backup_model not in self.remotes:
            known = ", ".join(self.remotes) or "none is declared"
            raise ValueError(f"backup_model: {self.backup_model!r} is not a remote model; accepted: {known}")
        for name in self.models.keys() & self.remotes.keys():
            raise ValueError(f"models.{name}: is a remote model; accepted: its `fallbacks` in remotes.{name}")
        for name in (*self.models, *self.remotes):
            if name in self.fallbacks_of(name):
                raise ValueError(f"{name}: is among its own fallbacks; accepted: other models")
        return self

    def fallbacks_of(self, model: str) -> tuple[str, ...]:
        """The models that are asked in the place of `model`, before the backup."""
        if remote := self.remotes.get(model):
            return remote.fallbacks
        return self.models[model].fallbacks if model in self.models else ()

    def to_reserves(self, backup_s: float) -> Reserves:
        """The reserves as the deadline wants them, where the backup needs `backup_s` seconds."""
        return Reserves(
            backup_s,
            self.reserves.backup_share,
            self.reserves.last_resort_seconds,
            self.reserves.last_resort_share,
        )

    def to_retry(self) -> RetryPolicy:
        """The retries as the chain wants them."""
        return RetryPolicy(
            self.retries.max, self.retries.base_seconds, self.retries.cap_seconds, self.retries.patience_seconds
        )

    def to_resilience(self) -> ResiliencePolicy:
        """What the resilience goes by."""
        breaker, admission, reserves = self.breaker, self.admission, self.reserves
        return ResiliencePolicy(
            BreakerPolicy(
                failures=breaker.failures,
                failure_rate=breaker.failure_rate,
                window_s=breaker.window_seconds,
                window_min_attempts=breaker.window_min_attempts,
                open_s=breaker.open_seconds,
                open_max_s=breaker.open_max_seconds,
                probes=breaker.probes,
            ),
            LimitPolicy(
                min_limit=admission.min_limit,
                max_limit=admission.max_limit,
                tolerance=admission.tolerance,
                patience_s=admission.patience_seconds,
                reserved_share=admission.backup_reserved_share,
            ),
            retry_share=self.retries.budget_share,
            hedge_share=self.hedging.budget_share,
            latencies=HedgingPolicy(
                hedging=self.hedging.enabled,
                quantile=self.hedging.quantile,
                min_samples=self.hedging.min_samples,
                reserve_min_s=reserves.backup_min_seconds,
                reserve_max_s=reserves.backup_max_seconds,
                reserve_quantile=reserves.backup_quantile,
            ),
        )

    def to_stream_rules(self) -> StreamRules:
        """What streams are held to."""
        return StreamRules(
            stall_s=self.streams.stall_seconds,
            continue_s=self.streams.continue_seconds,
            max_s=self.streams.max_seconds,
            max_characters=self.streams.max_characters,
        )

    def with_overrides(self, overrides: Mapping[str, Any], environment: Mapping[str, str]) -> "PolicySettings":
        """This policy with the keys of `overrides` in place of its own, then the environment's.

        Args:
            overrides: the Router's `user_config`; nested objects are merged key by key.
            environment: usually `os.environ`.

        Raises:
            SettingsError: the merged policy is not valid.
        """
        merged = _merge(self.model_dump(exclude_unset=True), overrides)
        policy = parse(PolicySettings, merged, "user_config")
        if TIMEOUT_VARIABLE not in environment:
            return policy
        return policy.model_copy(
            update={"timeout_seconds": _seconds(environment[TIMEOUT_VARIABLE], policy.max_timeout_seconds)}
        )

    @classmethod
    def from_environment(cls) -> "PolicySettings":
        """The defaults, as the environment changes them."""
        return cls().with_overrides({}, os.environ)


def _merge(base: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _seconds(text: str, cap: float) -> float:
    accepted = f"seconds, above 0 and at most {cap:g}"
    try:
        value = float(text)
    except ValueError as error:
        wrong = f"is {text!r}, which is not a number"
        raise SettingsError("environment", TIMEOUT_VARIABLE, wrong, accepted) from error
    if not 0 < value <= cap:  # NaN is not either
        raise SettingsError("environment", TIMEOUT_VARIABLE, f"is {text!r}", accepted)
    return value
