"""Reading settings from YAML. Every fault of a file is reported at once: see `errors` and `findings`."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from deployments.settings.errors import SettingsError
from deployments.settings.findings import find_faults

ROOT_VARIABLE = "NEVERBLANK_ROOT"
CACHE_VARIABLE = "NEVERBLANK_CACHE"
_T = TypeVar("_T")


def root() -> Path:
    """The folder that relative paths of settings start from.

    `NEVERBLANK_ROOT` where it is set; else the working directory where it holds `serve_config.yaml`; else the
    checkout this package was installed from.
    """
    if configured := os.environ.get(ROOT_VARIABLE):
        return Path(configured).resolve()
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[2]
    if not (here / "serve_config.yaml").exists() and (checkout / "serve_config.yaml").exists():
        return checkout
    return here


def resolve(path: str) -> Path:
    """`path` as an absolute one."""
    return (root() / path).resolve()


def cache_folder() -> str:
    """The cache's absolute path: `NEVERBLANK_CACHE`, else `cache/` below the project's root."""
    return os.environ.get(CACHE_VARIABLE) or str(resolve("cache"))


def digest(*paths: str) -> str:
    """16 hexadecimal digits that change when one of the files at `paths` does.

    Raises:
        SettingsError: one of them cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        whole.update(hashlib.sha256(_read(path)).digest())
    return whole.hexdigest()[:16]


def load(model: Any, path: str) -> Any:
    """Read the YAML file at `path` as `model`, a pydantic model or a union of them.

    Raises:
        SettingsError: the file is missing, is not YAML, or does not fit.
    """
    text = _read(path)
    try:
        data = yaml.safe_load(text.decode("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a day that no month has, depth without end
        raise SettingsError(path, "", is_not_yaml(error), "a YAML mapping") from None
    return parse(model, {} if data is None else data, path)


def is_not_yaml(error: yaml.YAMLError | ValueError | RecursionError) -> str:
    """What is wrong with a text that is not YAML, and on which line, as `error` has it. It quotes no line of it."""
    if isinstance(error, yaml.MarkedYAMLError):
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        return f"is not YAML: {error.problem}{line}"
    return f"is not YAML ({type(error).__name__})"


def _read(path: str) -> bytes:
    try:
        return resolve(path).read_bytes()
    except OSError as error:
        raise SettingsError(path, "", f"cannot be read: {error.strerror}", f"a file below {root()}") from error
    except ValueError as error:  # no file has such a name
        raise SettingsError(path, "", f"cannot be read: {error}", f"a file below {root()}") from error


def parse(model: type[_T], data: Any, file: str) -> _T:
    """Validate `data`, which was read from `file`, as `model`.

    Raises:
        SettingsError: it does not fit; the error has every fault.
    """
    if not isinstance(data, Mapping):
        raise SettingsError(file, "", f"holds {_kind(data)}", "a mapping of settings")
    adapter = TypeAdapter(model)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        # Not `from error`: pydantic's own text quotes what was read, credentials too, and ends up in logs.
        raise SettingsError.of(find_faults(adapter, data, file, error)) from None


def _kind(data: Any) -> str:
    return "a list" if isinstance(data, list) else f"a {type(data).__name__}"
