"""Examines who may ask the service of a Serve config: the keys, the models that they name, and an open port."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from deployments.settings import PolicySettings, SettingsError
from deployments.settings.applications import AppArguments, PoolArguments, is_loopback, read_arguments
from deployments.settings.errors import Fault
from deployments.settings.keys import read_keys
from deployments.settings.specs import read_pool_spec


def examine_lock(file: str, host: str | None, policy: PolicySettings, known: Collection[str]) -> None:
    """Check the keys that `policy` names.

    Args:
        file: the Serve config.
        host: the address that it binds the HTTP port to.
        policy: the policy of its routers.
        known: the names of all models that it lists.

    Raises:
        SettingsError: the file of the keys does not fit, a key names a model that is not known or is bounded in money
            where nothing costs any, or other machines can reach a port without keys that is not said to be open.
    """
    if policy.access.keys is None:
        if not (policy.access.open or is_loopback(host)):
            wrong = f"is {host!r}: other machines can reach the port, and nobody needs a key"
            accepted = "127.0.0.1; or access.keys in the policy; or access.open: true, if this is meant"
            raise SettingsError(file, "http_options.host", wrong, accepted)
        return
    path = policy.access.keys
    keys = read_keys(path)
    faults = [
        Fault(path, f"keys.{name}.models", f"names {model!r}, which no model is called", ", ".join(sorted(known)))
        for name, key in keys.items()
        for model in key.models
        if "*" not in model and model not in known | policy.remotes.keys()
    ]
    if not policy.prices:
        faults += [
            Fault(path, f"keys.{name}.money_per_day", "bounds nothing: no model has a price", "prices in the policy")
            for name, key in keys.items()
            if key.money_per_day is not None
        ]
    if faults:
        raise SettingsError.of(faults)


def names_in(applications: Collection[Mapping[str, Any]], file: str) -> Iterator[str]:
    """Give the names of the models that a Serve config lists; what does not fit is examined elsewhere."""
    for application in applications:
        try:
            match read_arguments(application, file):
                case PoolArguments(pool=pool):
                    yield from (member.id for member in read_pool_spec(pool)[1])
                case AppArguments():
                    continue
                case _:
                    yield str(application.get("name"))
        except SettingsError:  # it is told where the application is examined
            continue
