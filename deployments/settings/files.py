"""Reading settings from YAML: every error names the file, the key, what is wrong and what is accepted."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

ROOT_VARIABLE = "NEVERBLANK_ROOT"
CACHE_VARIABLE = "NEVERBLANK_CACHE"
T = TypeVar("T")

_TAG_ERRORS = frozenset({"union_tag_not_found", "union_tag_invalid"})
_TAGS = {"'format'": "'huggingface', 'python', 'pickle', 'pytorch'", "'kind'": "'hub', 'wheel', 'path'"}


class SettingsError(ValueError):
    """A setting that cannot be used.

    Attributes:
        file: the file, or the name of what was read.
        key: the key in it, dotted; empty for the file as a whole.
        wrong: what is wrong with it.
        accepted: what would be right.
    """

    def __init__(self, file: str, key: str, wrong: str, accepted: str) -> None:
        place = f"{file}: {key}" if key else file
        super().__init__(f"{place}: {wrong}" + (f" (accepted: {accepted})" if accepted else ""))
        self.file, self.key, self.wrong, self.accepted = file, key, wrong, accepted

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[str, str, str, str]]:
        """Pickle by its parts: it crosses from the build task to the user."""
        return type(self), (self.file, self.key, self.wrong, self.accepted)


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
    try:
        data = yaml.safe_load(_read(path).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(path, "", f"is not YAML: {error}", "a YAML mapping") from error
    return parse(model, {} if data is None else data, path)


def _read(path: str) -> bytes:
    try:
        return resolve(path).read_bytes()
    except OSError as error:
        raise SettingsError(path, "", f"cannot be read: {error.strerror}", f"a file below {root()}") from error


def parse(model: type[T], data: Any, file: str) -> T:
    """Validate `data`, which was read from `file`, as `model`.

    Raises:
        SettingsError: it does not fit. The first fault is reported.
    """
    if not isinstance(data, Mapping):
        raise SettingsError(file, "", f"holds {_kind(data)}", "a mapping of settings")
    try:
        return TypeAdapter(model).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = _key(first, data)
        wrong, accepted = _explain(first)
        raise SettingsError(file, key, wrong, accepted) from error


def _key(error: Any, data: Any) -> str:
    """The key as the user wrote it: pydantic's own path also names the member of a union that was tried."""
    path: list[str] = []
    for part in error["loc"]:
        held = isinstance(data, Mapping) and part in data
        if held or (isinstance(data, (list, tuple)) and isinstance(part, int)):
            data = data[part]
            path.append(str(part))
        elif error["type"] == "missing" and part == error["loc"][-1]:
            path.append(str(part))
    if error["type"] in _TAG_ERRORS:
        path.append(error["ctx"]["discriminator"].strip("'"))
    return ".".join(path)


def _explain(error: Any) -> tuple[str, str]:
    match error["type"]:
        case "extra_forbidden":
            return "is not a setting", "the settings in README.md, under Configuration"
        case "missing":
            return "is missing", "a value"
        case "union_tag_not_found":
            return "is missing", _TAGS[error["ctx"]["discriminator"]]
        case "union_tag_invalid":
            return f"is {error['ctx']['tag']!r}", error["ctx"]["expected_tags"]
        case "value_error":
            return str(error["ctx"]["error"]), ""
        case _:
            shown = repr(error["input"])
            return f"is {shown[:80]}", error["msg"].removeprefix("Input should be ")


def _kind(data: Any) -> str:
    return "a list" if isinstance(data, list) else f"a {type(data).__name__}"
