"""The reference of the configuration, `docs/configuration.md`, made from the settings models themselves.

`python -m deployments.settings.reference` writes it; a test holds it to the models.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from deployments.settings.access import PriceSettings
from deployments.settings.file_specs import PickleSpec, PyTorchSpec
from deployments.settings.files import root
from deployments.settings.findings import REFERENCE
from deployments.settings.keys import KeySpec
from deployments.settings.policy import PolicySettings
from deployments.settings.remotes import EndpointSpec, RemoteSpec
from deployments.settings.server_specs import ServerSpec
from deployments.settings.sources import HubSource, PathSource, WheelSource
from deployments.settings.specs import BackupSpec, HuggingFaceSpec, PoolSpec, PythonSpec

_LONGEST_SHOWN = 40
"""Characters of a default; a longer one is a sentence, and no value."""

_HEAD = """\
<!-- Made by `python -m deployments.settings.reference` from the settings models: change those. -->
# Configuration

Every key of every file, with what is accepted and the default. An unknown key is an error, and so are values that
contradict each other; `neverblank check` names all faults of a file at once. A changed policy is taken over as a whole
or not at all: where it is refused, the router logs `policy_refused` and goes on with the policy before.
"""

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("Policy (`configs/policy.yaml`, and the Router's `user_config`)", PolicySettings),
    ("A remote model (`remotes.<name>` of the policy)", RemoteSpec),
    ("An endpoint of a remote model (`remotes.<name>.endpoints`)", EndpointSpec),
    ("What a model's tokens cost (`prices.<name>` of the policy)", PriceSettings),
    ("A key (`keys.<name>` in the file that `access.keys` of the policy names)", KeySpec),
    ("Backup (`configs/backup.yaml`)", BackupSpec),
    ("Model of `format: huggingface` (`configs/models/<id>.yaml`)", HuggingFaceSpec),
    ("Model of `format: python` (`configs/models/<id>.yaml`)", PythonSpec),
    ("Model of `format: pickle` (`configs/models/<id>.yaml`)", PickleSpec),
    ("Model of `format: pytorch` (`configs/models/<id>.yaml`)", PyTorchSpec),
    ("Model of `format: server` (`configs/models/<id>.yaml`)", ServerSpec),
    ("Pool of models (`configs/pools/<name>.yaml`)", PoolSpec),
    ("Source of `kind: hub`", HubSource),
    ("Source of `kind: wheel`", WheelSource),
    ("Source of `kind: path`", PathSource),
)


def render() -> str:
    """The whole document as Markdown."""
    return "\n".join([_HEAD, *(_section(title, model) for title, model in _SECTIONS)])


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [f"| `{key}` | {kind} | {default} | {text} |" for key, kind, default, text in _rows(model, "")]
    return "\n".join([f"## {title}", "", "| key | accepted | default | |", "|---|---|---|---|", *rows, ""])


def _rows(model: type[Any], prefix: str) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, info in _fields(model).items():
        nested = info.annotation
        if isinstance(nested, type) and (issubclass(nested, BaseModel) or is_dataclass(nested)):
            overriding = info.default if isinstance(info.default, nested) else nested()
            rows += [
                (key, kind, _default_of(overriding, key.removeprefix(f"{prefix}{name}.")) or default, text)
                for key, kind, default, text in _rows(nested, f"{prefix}{name}.")
            ]
        else:
            rows.append((f"{prefix}{name}", _kind(info), _default(info), info.description or ""))
    return rows


def _fields(model: type[Any]) -> Mapping[str, FieldInfo]:
    """The fields of a settings model, or of a section of the policy, as pydantic sees them."""
    if not is_dataclass(model):
        found: Mapping[str, FieldInfo] = model.model_fields
        return found
    kinds = get_type_hints(model)
    return {each.name: FieldInfo.from_annotated_attribute(kinds[each.name], each) for each in fields(model)}


def _default_of(settings: Any, key: str) -> str:
    value = getattr(settings, key, None)
    return "" if value is None else _shown(value)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default if info.default is not PydanticUndefined else info.get_default(call_default_factory=True)
    return _shown(value) if value is not None else "none"


def _shown(value: Any) -> str:
    """A default as it is written in YAML."""
    if isinstance(value, str):
        return "a built-in text" if len(value) > _LONGEST_SHOWN else f"`{value}`"
    if isinstance(value, tuple):
        return f"`{json.dumps([str(each) for each in value])}`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _kind(info: FieldInfo) -> str:
    bounds = []
    for attribute, sign, tightest in (
        ("gt", "above", max),
        ("ge", "at least", max),
        ("lt", "below", min),
        ("le", "at most", min),
    ):
        found = [bound for rule in info.metadata if (bound := getattr(rule, attribute, None)) is not None]
        if found:
            bounds.append(f"{sign} {tightest(found):.10g}")
    return ", ".join([_name(info.annotation), *bounds])


def _name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in {Union, UnionType}:
        return " or ".join(_name(part) for part in get_args(annotation) if part is not NoneType)
    if origin is tuple:
        return "a list"
    if origin is dict:
        return "a mapping"
    if origin is not None:
        return _name(get_args(annotation)[0])
    return {str: "text", int: "whole number", float: "number", bool: "`true`, `false`", datetime: "time"}.get(
        annotation, "source"
    )


if __name__ == "__main__":
    (root() / REFERENCE).write_text(render(), encoding="utf-8")
