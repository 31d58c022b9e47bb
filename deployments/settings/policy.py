"""The router's policy: what people tune while the service runs (the Router's `user_config`)."""

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from deployments.policy.blank import is_blank
from deployments.policy.breaker import BreakerPolicy
from deployments.policy.concurrency_limit import LimitPolicy
from deployments.policy.continuation import NO_LIMITS, StreamLimits, StreamPolicy
from deployments.policy.deadline import ReservePolicy
from deployments.policy.hedging import HedgingPolicy
from deployments.policy.knob import LEAST_SECONDS, MOST_SECONDS
from deployments.policy.resilience import ResiliencePolicy
from deployments.policy.responsiveness import ReplicaPolicy
from deployments.policy.retry import RetryPolicy
from deployments.policy.silence import SilencePolicy
from deployments.settings.access import AccessSettings, PriceSettings
from deployments.settings.base import ModelId, Seconds, Settings
from deployments.settings.cache import CacheSettings
from deployments.settings.canary import CanarySettings
from deployments.settings.errors import Fault, SettingsError
from deployments.settings.files import parse
from deployments.settings.remotes import RemoteSpec
from deployments.settings.responses import ResponseSettings
from deployments.settings.stream_limits import StreamLimitSettings
from deployments.settings.traces import TraceSettings

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^\s/,*]+)$", max_length=256)]
"""As browsers send it: scheme, host and port, without a path."""

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


class RescueSettings(Settings):
    """Whether a model's word about a request is passed on to its caller, or the next tier is asked."""

    invalid: bool = Field(False, description="Ask the next tier when a model calls a request invalid.")
    content_filter: bool = Field(
        False, description="Ask the next model when a filter withholds an answer, or rejects a request for its content."
    )


class HttpSettings(Settings):
    """The HTTP surface of the routers."""

    cors_origins: tuple[Origin, ...] = Field(
        (),
        max_length=64,
        description="The origins whose pages may ask from a browser, such as `https://app.example.com`; `*` for all. "
        "None: browsers refuse such pages the answers.",
    )


class DrillSettings(Settings):
    """Whether callers may try the fallback: see the header `x-neverblank-fault`."""

    enabled: bool = Field(False, description="Let a request inject faults into its own attempts.")


class ModelSettings(StreamLimitSettings):
    """Facts about one model that routers cannot find out themselves."""

    fallbacks: tuple[ModelId, ...] = Field(
        (), description="Models asked in its place, in this order, before the backup."
    )


class PolicySettings(Settings):
    """The policy of all routers.

    The sections from `reserves` to `streams` are the values that decisions are made by; see `policy.knob`.
    """

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
    max_request_bytes: int = Field(
        1 << 20,
        ge=1024,
        le=1 << 28,
        description="The largest request body that is read. Decoding one of hardly anything but brackets holds a "
        "router up for about 0.1 s a megabyte.",
    )
    max_tokens_default: int = Field(
        1024,
        ge=1,
        le=1 << 20,
        description="The longest answer, in tokens, of a model of our own where neither the request nor its spec says; "
        "less where its context has no more room.",
    )
    ignored_features: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = Field(
        (),
        description="Fields, parts of messages and tools, by their names, that are left out where no model that may "
        "answer has them, instead of being refused: the answer lists them as dropped. `*` for all.",
    )
    reserves: ReservePolicy = ReservePolicy()
    retries: RetryPolicy = RetryPolicy()
    hedging: HedgingPolicy = HedgingPolicy()
    silence: SilencePolicy = SilencePolicy()
    replicas: ReplicaPolicy = ReplicaPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    admission: LimitPolicy = LimitPolicy()
    streams: StreamPolicy = StreamPolicy()
    rescue: RescueSettings = RescueSettings()
    models: dict[ModelId, ModelSettings] = Field(
        default_factory=dict, description="What the routers know of single models, by the names of these."
    )
    remotes: dict[ModelId, RemoteSpec] = Field(
        default_factory=dict, description="Models behind OpenAI-compatible upstreams, by the names they get here."
    )
    last_resort: LastResortSettings = LastResortSettings()
    access: AccessSettings = AccessSettings()
    prices: dict[ModelId, PriceSettings] = Field(
        default_factory=dict, description="What tokens cost, by the model that answers; others cost nothing."
    )
    http: HttpSettings = HttpSettings()
    traces: TraceSettings = TraceSettings()
    drills: DrillSettings = DrillSettings()
    canary: CanarySettings = CanarySettings()
    cache: CacheSettings = CacheSettings()
    responses: ResponseSettings = ResponseSettings()
    discovery_seconds: Seconds = Field(1.0, le=3.0, description="How often the router asks Serve which models run.")
    log_content: bool = Field(
        False,
        description="Write the text of requests, and what models say as they fail, into the fallback log lines.",
    )

    @model_validator(mode="after")
    def _values_that_fit_together(self) -> Self:
        if faults := [*self._contradictions()]:
            raise ValueError("\n".join(faults))
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.timeout_seconds > self.max_timeout_seconds:
            yield (
                f"timeout_seconds: {self.timeout_seconds:g} is above max_timeout_seconds "
                f"({self.max_timeout_seconds:g}); accepted: at most that"
            )
        if self.backup_model is not None and self.backup_model not in self.remotes:
            known = ", ".join(self.remotes) or "none is declared"
            yield f"backup_model: {self.backup_model!r} is not a remote model; accepted: {known}"
        for name in self.models.keys() & self.remotes.keys():
            yield f"models.{name}: is a remote model; accepted: its fallbacks in remotes.{name}"
        for section in ("models", "remotes"):
            for name in getattr(self, section):
                if name in self.fallbacks_of(name):
                    yield f"{section}.{name}.fallbacks: names {name} itself; accepted: other models"

    def fallbacks_of(self, model: str) -> tuple[str, ...]:
        """The models that are asked in the place of `model`, before the backup."""
        if remote := self.remotes.get(model):
            return remote.fallbacks
        return self.models[model].fallbacks if model in self.models else ()

    @property
    def longest_seconds(self) -> float:
        """The longest time that a request may be under way: its deadline, its stream, a stall and a continuation."""
        streams = self.streams
        return self.max_timeout_seconds + streams.max_seconds + streams.stall_seconds + streams.continue_seconds

    def to_resilience(self) -> ResiliencePolicy:
        """The sections that a router's `ResilienceState` follows."""
        return ResiliencePolicy(self.breaker, self.admission, self.retries, self.hedging, self.reserves, self.silence)

    def request_bounds(self) -> tuple[int, float, float, int, bool]:
        """The bounds of requests, in the order of `request.body.Limits`."""
        return (
            self.max_request_bytes,
            self.timeout_seconds,
            self.max_timeout_seconds,
            self.max_tokens_default,
            self.drills.enabled,
        )

    def stream_limits(self) -> dict[str, StreamLimits]:
        """The limits of the streams of those models that have their own."""
        own = {name: settings.to_limits() for name, settings in (*self.models.items(), *self.remotes.items())}
        return {name: limits for name, limits in own.items() if limits != NO_LIMITS}

    def to_log(self) -> dict[str, Any]:
        """The settings that differ from their defaults, for a log line; of the headers of remote models only the names.

        The value of a header may be a credential, though `header_env` is the place for credentials.
        """
        written = self.model_dump(exclude_defaults=True)
        for remote in written.get("remotes", {}).values():
            for key in {"headers", "query"} & remote.keys():
                remote[key] = sorted(remote[key])
        if "store" in (cache := written.get("cache", {})):
            cache["store"] = cache["store"].partition(":")[0]  # the address may have a password in it
        return written

    def with_overrides(self, overrides: Mapping[str, Any], environment: Mapping[str, str]) -> "PolicySettings":
        """This policy with the keys of `overrides` in place of its own, then the environment's.

        Args:
            overrides: the Router's `user_config`; nested objects are merged key by key.
            environment: usually `os.environ`.

        Raises:
            SettingsError: the merged policy is not valid; the error has every fault.
        """
        merged = _merge(self.model_dump(exclude_unset=True), overrides)
        faults: list[Fault] = []
        policy, cap = None, MOST_SECONDS
        try:
            policy = parse(PolicySettings, merged, "user_config")
            cap = policy.max_timeout_seconds
        except SettingsError as error:
            faults += error.faults
        seconds = _seconds(environment.get(TIMEOUT_VARIABLE), cap)
        if isinstance(seconds, Fault):
            faults.append(seconds)
        if policy is None or isinstance(seconds, Fault):
            raise SettingsError.of(faults)
        return policy if seconds is None else policy.model_copy(update={"timeout_seconds": seconds})

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


def _seconds(text: str | None, cap: float) -> float | Fault | None:
    """The seconds that the environment sets; `None` where it sets none."""
    if text is None:
        return None
    accepted = f"seconds, from {LEAST_SECONDS:g} to {cap:g}"
    try:
        value = float(text)
    except ValueError:
        return Fault("environment", TIMEOUT_VARIABLE, f"is {text!r}, which is not a number", accepted)
    if not LEAST_SECONDS <= value <= cap:  # NaN is not either
        return Fault("environment", TIMEOUT_VARIABLE, f"is {text!r}", accepted)
    return value
