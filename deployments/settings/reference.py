"""The configuration reference of README.md, made from the settings models themselves.

`python -m deployments.settings.reference README.md` writes it between its two markers; a test holds it there.
"""

import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from deployments.settings.file_specs import PickleSpec, PyTorchSpec
from deployments.settings.policy import PolicySettings
from deployments.settings.remotes import RemoteSpec
from deployments.settings.sources import HubSource, PathSource, WheelSource
from deployments.settings.specs import BackupSpec, HuggingFaceSpec, PoolSpec, PythonSpec

BEGIN = "<!-- configuration: made by deployments/settings/reference.py -->"
END = "<!-- /configuration -->"

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("Policy (`configs/policy.yaml`, and the Router's `user_config`)", PolicySettings),
    ("A remote model (`remotes.<name>` of the policy)", RemoteSpec),
    ("Backup (`configs/backup.yaml`)", BackupSpec),
    ("Model of `format: huggingface` (`configs/models/<id>.yaml`)", HuggingFaceSpec),
    ("Model of `format: python` (`configs/models/<id>.yaml`)", PythonSpec),
    ("Model of `format: pickle` (`configs/models/<id>.yaml`)", PickleSpec),
    ("Model of `format: pytorch` (`configs/models/<id>.yaml`)", PyTorchSpec),
    ("Pool of models (`configs/pools/<name>.yaml`)", PoolSpec),
    ("Source of `kind: hub`", HubSource),
    ("Source of `kind: wheel`", WheelSource),
    ("Source of `kind: path`", PathSource),
)


def render() -> str:
    """The whole reference as Markdown."""
    return "\n".join(_section(title, model) for title, model in _SECTIONS)


def insert(document: str) -> str:
    """`document` with the reference between its markers.

    Raises:
        ValueError: it has no markers.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document has no {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n\n{render()}\n{END}{tail}"


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [f"| `{key}` | {kind} | {default} | {text} |" for key, kind, default, text in _rows(model, "")]
    table = ["| key | accepted | default | |", "|---|---|---|---|", *rows]
    return "\n".join([f"<details><summary>{title.replace('`', '')}</summary>", "", *table, "", "</details>", ""])


def _rows(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, info in model.model_fields.items():
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            overriding = info.default if isinstance(info.default, nested) else nested()
            rows += [
                (key, kind, _default_of(overriding, key.removeprefix(f"{prefix}{name}.")) or default, text)
                for key, kind, default, text in _rows(nested, f"{prefix}{name}.")
            ]
        else:
            rows.append((f"{prefix}{name}", _kind(info), _default(info), info.description or ""))
    return rows


def _default_of(settings: BaseModel, key: str) -> str:
    value = getattr(settings, key, None)
    return "" if value is None else f"`{value}`"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default if info.default is not PydanticUndefined else info.get_default(call_default_factory=True)
    if isinstance(value, str) and len(value) > 40:  # noqa: PLR2004 - a sentence, not a value
        return "a built-in text"
    return f"`{value}`" if value is not None else "none"


def _kind(info: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(rule, attribute):g}"
        for rule in info.metadata
        for attribute, sign in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
        if getattr(rule, attribute, None) is not None
    ]
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
    return {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}.get(annotation, "source")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(encoding="utf-8")), encoding="utf-8")
