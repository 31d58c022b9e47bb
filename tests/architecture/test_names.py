"""One name, one meaning: no public name of the package stands in two modules."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.architecture.parsing import parse

PACKAGE = Path(__file__).resolve().parents[2] / "deployments"


def public_names(file: Path) -> set[str]:
    """The names that `file` defines at its top level, those with a leading underscore left out."""
    names: set[str] = set()
    for node in parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return {name for name in names if not name.startswith("_")}


def test_no_public_name_stands_in_two_modules() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for name in public_names(file):
            places[name].append(file.relative_to(PACKAGE).as_posix())

    assert {name: files for name, files in places.items() if len(files) > 1} == {}
