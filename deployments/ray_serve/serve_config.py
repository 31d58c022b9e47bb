"""Reads a Serve config: the YAML file that lists the applications to run."""

from collections.abc import Mapping
from typing import Any

import yaml

from deployments.settings import SettingsError, resolve, root
from deployments.settings.files import is_not_yaml

SERVE_CONFIG = "serve_config.yaml"
"""The Serve config that is meant where none is named."""


def read_yaml(file: str) -> Any:
    """Return the content of the YAML file `file`; a relative path starts at the project's root.

    Raises:
        SettingsError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(resolve(file).read_text(encoding="utf-8"))
    except OSError as error:
        accepted = f"a file below {root()}; `neverblank init` lays out the first ones"
        raise SettingsError(file, "", f"cannot be read: {error.strerror}", accepted) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(file, "", is_not_yaml(error), "a YAML file") from None


def is_serve_config(data: Any) -> bool:
    """Whether `data`, read from a YAML file, is a Serve config and not the spec of a model."""
    return isinstance(data, Mapping) and "applications" in data


def read_serve_config(file: str) -> dict[str, Any]:
    """The Serve config `file`, of which `applications` is sure to be a list of mappings.

    Raises:
        SettingsError: it cannot be read, or has no such list.
    """
    data = read_yaml(file)
    if not is_serve_config(data):
        raise SettingsError(file, "applications", "is missing", "a Serve config with a list of applications")
    config: dict[str, Any] = data
    list_applications(config, file)
    return config


def list_applications(config: Mapping[str, Any], file: str) -> list[dict[str, Any]]:
    """The applications that `config`, read from `file`, lists.

    Raises:
        SettingsError: they are not a list of mappings.
    """
    applications = config["applications"]
    if not isinstance(applications, list) or not all(isinstance(item, dict) for item in applications):
        raise SettingsError(file, "applications", "is not a list of mappings", "a list of applications")
    return applications
