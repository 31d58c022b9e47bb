"""The applications of a Serve config: which of them are ours, and the files they name.

Serve compares `args`, not the files: `digest` is what `neverblank deploy` changes to have a changed file noticed.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from pydantic import Field

from deployments.settings.base import NonEmpty, Settings
from deployments.settings.files import parse
from deployments.settings.specs import read_pool_spec

DIGEST_VARIABLE = "NEVERBLANK_DIGEST"
"""In the environment of replicas, where whoever asks Serve finds it: the digest of the files they are made from."""


class AppArguments(Settings):
    """The `args` of the application `neverblank`: router and backup."""

    policy: NonEmpty = "configs/policy.yaml"
    backup: NonEmpty = "configs/backup.yaml"
    routers: int = Field(2, ge=1, description="Routers that always run.")
    routers_per_node: int | None = Field(
        None,
        ge=1,
        description="Routers that one node may hold, so that the loss of a node leaves some; without it all may be "
        "on one. There have to be nodes for all of them. An update then replaces one router after the other.",
    )
    digest: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that this application is made from."""
        return (self.policy, self.backup)


class ModelArguments(Settings):
    """The `args` of a model's application."""

    spec: NonEmpty
    digest: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that this application is made from."""
        return (self.spec,)


class PoolArguments(Settings):
    """The `args` of a pool's application."""

    pool: NonEmpty
    digest: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that this application is made from. Raises `SettingsError` where the pool's does not fit."""
        return (self.pool, *read_pool_spec(self.pool)[0].models)


Arguments = AppArguments | ModelArguments | PoolArguments

BUILDERS: Mapping[str, type[Arguments]] = {
    "deployments.app:build": AppArguments,
    "deployments.app:build_model": ModelArguments,
    "deployments.app:build_pool": PoolArguments,
}
"""The model of `args`, by `import_path`."""


def read_arguments(application: Mapping[str, Any], file: str) -> Arguments | None:
    """The `args` of an application that the Serve config `file` lists; `None` for one that is not ours.

    Raises:
        SettingsError: they are not valid.
    """
    kind = BUILDERS.get(str(application.get("import_path")))
    if kind is None:
        return None
    arguments: Arguments = parse(kind, application.get("args") or {}, f"{file}: {application.get('name')}.args")
    return arguments


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach what is bound to `host`; Serve takes none for its own default, loopback."""
    if host in {None, "localhost"}:
        return True
    try:
        return ip_address(str(host)).is_loopback
    except ValueError:  # a name: it may lead anywhere
        return False
