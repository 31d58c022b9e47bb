"""The setting of traces."""

from typing import Annotated

from pydantic import Field, StringConstraints

from deployments.settings.base import Settings

_Endpoint = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#@]+[^\s?#@]*)?$", max_length=1024)]


class TraceSettings(Settings):
    """Traces of requests, sent to an OTLP endpoint (OpenTelemetry)."""

    endpoint: _Endpoint = Field(
        "",
        description="The address that spans are sent to by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`; "
        "empty for none. What it demands is in the environment: `OTEL_EXPORTER_OTLP_HEADERS`.",
    )
    share: float = Field(
        0.1,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The share of requests that are traced where the caller does not say.",
    )
    follow_callers: bool = Field(
        True, description="A request is traced, or is not, as its `traceparent` says; else `share` decides for all."
    )
    content: bool = Field(
        False, description="Spans have the texts of requests and answers, and reasons that may quote them."
    )
