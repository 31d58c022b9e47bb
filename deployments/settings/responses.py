"""Where responses are kept (`POST /v1/responses`), and for how long."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from deployments.settings.base import Settings, has_a_port_that_exists
from deployments.settings.remotes import SECRET, VariableName

StoreAddress = Annotated[
    str,
    StringConstraints(pattern=r"^(sqlite:/[^?#]+|rediss?://[^\s:@/?#]+(:\d+)?(/\d+)?)?$"),
    AfterValidator(has_a_port_that_exists),
]
"""Of a store of records; without a password, which stands in no file."""


class ResponseSettings(Settings):
    """Where responses (`/v1/responses`) are kept whose callers do not refuse that with `store: false`."""

    store: StoreAddress = Field(
        "",
        max_length=512,
        description="`sqlite:/path/to/file` for the routers of one node, `redis://host:6379/0` or `rediss://…` for "
        "those of several. Empty: nothing is kept.",
        json_schema_extra=SECRET,
    )
    password_env: VariableName | None = Field(
        None, description="The environment variable with the password of Redis.", json_schema_extra=SECRET
    )
    retention_hours: float = Field(
        720.0, gt=0, le=87_600, allow_inf_nan=False, description="How long a response is kept."
    )

    max_megabytes: int = Field(
        1024,
        ge=16,
        le=1_048_576,
        description="How much of a file of SQLite is used, in MiB; the oldest responses make room for new ones. A "
        "Redis has its own `maxmemory`.",
    )

    def place(self, environment: Mapping[str, str]) -> tuple[str, str, float, int]:
        """Return the address of the store, its password, the seconds a response is kept there, and its largest size.

        That is in bytes.
        """
        password = environment.get(self.password_env, "") if self.password_env else ""
        return self.store, password, self.retention_hours * 3600, self.max_megabytes << 20
