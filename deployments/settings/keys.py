"""The file of the keys, or the folder with one file for each. It holds hashes: no key can be read from it.

    keys:
      team-a:
        id: 4f1c09be77aa
        hash: sha256$<salt>$<digest>
        models: [smollm2, "gpt-*"]

In a folder, such as a mounted secret, each file is named after its key and holds what stands below the name.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from deployments.settings.base import Settings
from deployments.settings.errors import Fault, SettingsError
from deployments.settings.files import is_not_yaml, parse, resolve, root
from deployments.settings.remotes import SECRET, Label

MOST_KEYS = 10_000
MOST_KEYS_BYTES = 16 << 20

KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
KeyHash = Annotated[str, StringConstraints(pattern=r"^sha256\$[0-9a-f]{32}\$[0-9a-f]{64}$")]
"""The name of the hash, the salt, and the digest of the salt and the secret behind it."""
ModelPattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._*-]{1,64}$")]
"""The name of a model; `*` stands for any characters, or none."""


def _with_zone(value: Any) -> Any:
    """A date as its first moment, and a time without a zone as UTC's."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        try:
            return _with_zone(datetime.fromisoformat(value))
        except ValueError:
            return value
    return value


Moment = Annotated[datetime, BeforeValidator(_with_zone), Field(strict=True)]


class KeySpec(Settings):
    """One key: how it is recognized, what it may, and how much of it."""

    id: KeyId = Field(description="The part of the key that names it. Each key has its own.")
    hash: KeyHash = Field(
        description="The salted hash of the rest of the key, as `neverblank key new` writes it.",
        json_schema_extra=SECRET,
    )
    previous_hash: KeyHash | None = Field(
        None, description="The hash before the last `neverblank key rotate`.", json_schema_extra=SECRET
    )
    previous_until: Moment | None = Field(None, description="Until when the key before is taken, too.")
    models: tuple[ModelPattern, ...] = Field(
        ("*",),
        min_length=1,
        max_length=256,
        description="The models that may answer, in whatever tier; `*` stands for any characters. The local backup "
        "needs no mention: `tiers` says whether it may stand in for a model.",
    )
    tiers: tuple[Literal["primary", "backup"], ...] = Field(
        ("primary", "backup"), min_length=1, description="The tiers that may answer; the last resort always may."
    )
    boundary: Literal["anywhere", "local"] | Annotated[tuple[Label, ...], Field(min_length=1, max_length=64)] = Field(
        "anywhere",
        description="How far its requests may go: anywhere; not out of the cluster (`local`); or, beside the cluster's "
        "own models, to the remote models that have one of these labels.",
    )
    requests_per_minute: int | None = Field(None, ge=1, le=10**9, description="Requests in any minute.")
    tokens_per_minute: int | None = Field(None, ge=1, le=10**12, description="Tokens read and written in any minute.")
    concurrent_requests: int | None = Field(None, ge=1, le=10**6, description="Requests at a time.")
    tokens_per_day: int | None = Field(None, ge=1, le=10**15, description="Tokens read and written in a day of UTC.")
    money_per_day: float | None = Field(
        None,
        gt=0,
        le=1e12,
        allow_inf_nan=False,
        description="What a day of UTC may cost, by the `prices` of the policy.",
    )
    expires: Moment | None = Field(
        None, description="When it ends: a date, or a date and time (UTC if without a zone)."
    )
    admin: bool = Field(False, description="It may see `/status`, and use what changes the service.")

    @model_validator(mode="after")
    def _a_previous_one_that_ends(self) -> Self:
        if (self.previous_hash is None) != (self.previous_until is None):
            raise ValueError("previous_hash: goes with previous_until; accepted: both or neither")
        return self


class KeysFile(Settings):
    """All keys, by their names."""

    keys: dict[KeyName, KeySpec] = Field(
        default_factory=dict, max_length=MOST_KEYS, description="The keys, by the names that logs and `/status` have."
    )


def read_keys(path: str) -> Mapping[str, KeySpec]:
    """The keys in the file, or in the files of the folder, at `path`.

    Raises:
        SettingsError: it cannot be read, or does not fit. No error quotes what stands in it where a secret could.
    """
    try:
        place = resolve(path)
        is_folder = place.is_dir()
    except (OSError, ValueError) as error:  # such as a folder above it that may not be looked into
        why = getattr(error, "strerror", None) or str(error)
        raise SettingsError(path, "", f"cannot be read: {why}", f"a file below {root()}") from None
    keys = _read_folder(place, path) if is_folder else _read_file(place, path)
    ids = Counter(key.id for key in keys.values())
    clashes = [name for name, key in keys.items() if ids[key.id] > 1]
    if clashes:
        wrong = f"is that of another key, too ({', '.join(clashes)})"
        raise SettingsError(path, f"keys.{clashes[0]}.id", wrong, "an id of its own")
    return keys


def key_files(place: Path) -> list[Path]:
    """The files of the folder `place` that hold a key each; those of mounted secrets are links beside hidden folders.

    Raises:
        OSError: it cannot be listed.
    """
    return sorted(file for file in place.iterdir() if not file.name.startswith(".") and file.is_file())


def key_name(file: Path) -> str:
    """The name of the key that a file in a folder of keys holds."""
    return file.stem if file.suffix in {".yaml", ".yml"} else file.name


def _read_file(place: Path, path: str) -> Mapping[str, KeySpec]:
    data = _load_strictly(place, path)
    if data is None:  # such as one that is just being written: nobody's key is to end by that
        raise SettingsError(path, "", "is empty", "keys: {} where there is to be no key at all")
    return parse(KeysFile, data, path).keys


def _read_folder(place: Path, path: str) -> Mapping[str, KeySpec]:
    try:
        files = key_files(place)
    except OSError as error:
        raise SettingsError(path, "", f"cannot be listed: {error.strerror}", "a folder of keys") from error
    if len(files) > MOST_KEYS:
        raise SettingsError(path, "", f"holds {len(files)} files", f"at most {MOST_KEYS} keys")
    keys: dict[str, Any] = {}
    faults: list[Fault] = []
    for file in files:
        name = key_name(file)
        if name in keys:
            faults.append(Fault(path, name, "is in two files", "one file for each key"))
        try:
            keys[name] = _load_strictly(file, f"{path}/{file.name}")
        except SettingsError as error:
            faults += error.faults
    if faults:
        raise SettingsError.of(faults)
    return parse(KeysFile, {"keys": keys}, path).keys


def _load_strictly(place: Path, path: str) -> Any:
    """The YAML at `place`; a key that stands there twice is a fault. Errors quote nothing of it."""
    try:
        if place.stat().st_size > MOST_KEYS_BYTES:
            raise SettingsError(path, "", "is too large", f"at most {MOST_KEYS_BYTES} bytes")
        return yaml.load(place.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SettingsError(path, "", f"cannot be read: {error.strerror}", f"a file below {root()}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(path, "", is_not_yaml(error), "a YAML mapping") from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML whose mappings have each key once; the usual loader lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)
