"""Remote models: OpenAI-compatible upstreams that the routers call themselves."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, StringConstraints, model_validator

from deployments.settings.base import ModelId, NonEmpty, Seconds
from deployments.settings.stream_limits import StreamLimitSettings

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=4096)]

OWN_HEADERS = frozenset({"authorization", "content-type", "content-length", "host", "accept-encoding"})
"""Headers that are set here; a key belongs into `api_key_env`."""


SECRET: dict[str, JsonValue] = {"writeOnly": True}
"""Of a field that credentials stand in, or are put into by mistake: errors do not quote its value."""


class RemoteSpec(StreamLimitSettings):
    """One model behind an OpenAI-compatible upstream: vLLM, a hosted provider, another Neverblank."""

    base_url: NonEmpty = Field(description="Where its API begins, such as `https://api.example.com/v1`.")
    model: NonEmpty = Field(description="What the upstream calls the model.")
    api_key_env: VariableName | None = Field(
        None,
        description="The environment variable with the key; keys are never written into a file.",
        json_schema_extra=SECRET,
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="Further headers, as they are. Secrets belong into `header_env`.",
        json_schema_extra=SECRET,
    )
    header_env: dict[HeaderName, VariableName] = Field(
        default_factory=dict,
        description="Further headers by the environment variables that hold their values.",
        json_schema_extra=SECRET,
    )
    tls_ca_file: NonEmpty | None = Field(None, description="Certificates to trust in the place of the system's.")
    connect_timeout_seconds: Seconds = Field(5.0, description="Until a connection stands.")
    max_connections: int = Field(256, ge=1, le=65_536, description="Connections of one router at a time.")
    max_answer_bytes: int = Field(
        16 << 20, ge=1024, le=1 << 30, description="The largest response that is read; a stream's is the sum of it."
    )
    max_event_bytes: int = Field(1 << 20, ge=1024, le=1 << 28, description="The largest single event of a stream.")
    max_header_bytes: int = Field(32 << 10, ge=1024, le=1 << 20, description="The longest single response header.")
    prefill: Literal["assistant", "continue", "never"] = Field(
        "assistant",
        description="How it is told to carry on with a text: by a trailing assistant's message; by one with vLLM's "
        "`continue_final_message`; or not at all.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the upstream calls the longest answer in tokens."
    )
    fallbacks: tuple[ModelId, ...] = Field(
        (), description="Models asked in its place, in this order, before the backup."
    )

    @model_validator(mode="after")
    def _a_url_without_secrets(self) -> Self:
        accepted = "accepted: a URL such as https://api.example.com/v1"
        try:
            parts = urlsplit(self.base_url)
            port_is_valid = parts.port is None or parts.port > 0
        except ValueError as error:
            raise ValueError(f"base_url: is no URL ({error}); {accepted}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_valid:
            raise ValueError(f"base_url: is not the URL of an HTTP server; {accepted}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"base_url: holds credentials, a query or a fragment; {accepted}, and api_key_env")
        return self

    @model_validator(mode="after")
    def _headers_that_are_free(self) -> Self:
        names = [name.lower() for name in (*self.headers, *self.header_env)]
        if taken := sorted(OWN_HEADERS.intersection(names)):
            raise ValueError(f"headers: {taken[0]} is set here; accepted: others (a key belongs into api_key_env)")
        if len(set(names)) < len(names):
            raise ValueError("headers: one of them is given twice; accepted: each once, in headers or in header_env")
        return self
