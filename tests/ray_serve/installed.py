"""Looks into the installed Ray, and into this project for what it takes from there. Nothing is started."""

import ast
import importlib
import importlib.util
import os
import re
import runpy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("serve_config.yaml", "configs/portable.yaml", "configs/gpu.yaml", "configs/cluster.yaml")
_VARIABLE = re.compile(r"\bRAY_[A-Z][A-Z_]+\b")


def used_names() -> set[str]:
    """Every name of Ray's that `deployments/` imports, or takes from a module of Ray's that it imports."""
    return {name for tree in _sources() for name in _names_of_ray(tree)}


def used_variables() -> set[str]:
    """Every variable of Ray's that the configs, the Makefile and `deployments/` name."""
    configs = [ROOT / "serve_config.yaml", ROOT / "Makefile", *(ROOT / "configs").rglob("*.yaml")]
    named = {name for path in configs for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    return named.union(*(filter(_VARIABLE.fullmatch, _texts_in(tree)) for tree in _sources()))


def switches(config: str) -> dict[str, str]:
    """The variables that a Serve config sets for Serve's own processes."""
    read: dict[str, Any] = yaml.safe_load((ROOT / config).read_text(encoding="utf-8"))
    found: dict[str, str] = read["controller_options"]["runtime_env"]["env_vars"]
    return found


def find(name: str) -> Any:
    """The object with the dotted name `name`, which begins with a module's; `None` where there is none."""
    parts = name.split(".")
    ends = (end for end in range(len(parts), 0, -1) if _is_module(".".join(parts[:end])))
    end = next(ends)
    found: Any = importlib.import_module(".".join(parts[:end]))
    for part in parts[end:]:
        found = getattr(found, part, None)
    return found


@cache
def texts(module: str) -> frozenset[str]:
    """Every literal text in the source of `module`; none where there is no such module."""
    spec = importlib.util.find_spec(module) if _is_module(module) else None
    if spec is None or spec.origin is None:
        return frozenset()
    return frozenset(_texts_in(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))))


def constants_with(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Serve's constants as a process has them that is started with `variables` and with no others of Serve's."""
    for name in list(os.environ):
        if name.startswith("RAY_SERVE_"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = runpy.run_path(find("ray.serve._private.constants").__file__)
    return {f"RAY_SERVE_{name}": value for name, value in found.items()} | found  # some go without their prefix


def _sources() -> Iterator[ast.Module]:
    for path in (ROOT / "deployments").rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"))


def _texts_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _names_of_ray(tree: ast.Module) -> Iterator[str]:
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names if _is_of_ray(alias.name)}
        elif isinstance(node, ast.ImportFrom) and _is_of_ray(node.module or ""):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if _is_module(name):
                    modules[alias.asname or alias.name] = name
                else:
                    yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield f"{modules[node.value.id]}.{node.attr}"


def _is_of_ray(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "ray"


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
