"""The architecture as a test: the header of each room says what its files may import, and this holds them to it.

A room is a folder of `deployments/`, or a file beside them. Its header is the docstring of its `__init__.py`, of which
the second line is `May import: <rooms>.`
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.parsing import parse

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "deployments"
MAX_LINES = 300
HEADER = re.compile(r"\A[^\n]+\n\nMay import: ([^\n]+)\.(?:\n|\Z)")
ACROSS_ROOMS = {"architecture", "clients", "cluster", "console", "deploy", "packaging", "service", "simulation", "soak"}
"""Folders of tests of all rooms together."""

NOT_A_ROOM = {"__init__.py"}  # of the package: it names what is public

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
ROOMS = sorted({file.split("/")[0] for file in FILES} - NOT_A_ROOM)


def room_of(file: str) -> str:
    return file.split("/", maxsplit=1)[0]


@cache
def allowed(room: str) -> frozenset[str]:
    """What the header of `room` names: rooms, and `Ray`."""
    file = PACKAGE / room if room.endswith(".py") else PACKAGE / room / "__init__.py"
    header = HEADER.match(ast.get_docstring(parse(file.read_text(encoding="utf-8"))) or "")
    assert header, f"{file.relative_to(ROOT)} needs `May import: <rooms>.` as the third line of its docstring"
    return frozenset(header[1].replace(" and ", ", ").split(", ")) - {"no other room"}


def imported(file: str) -> Iterator[str]:
    """Every module `file` imports, inside functions too; `from package import name` gives `package.name`."""
    package = ("deployments", *Path(file).parent.parts)
    for node in ast.walk(parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def imported_files(file: str) -> set[str]:
    """The files of the package that `file` imports; one that does not exist is for the type checker to find."""
    return {
        found
        for module in imported(file)
        if module.split(".")[0] == "deployments" and (found := _file_of(module)) not in {"", "__init__.py"}
    }


def _file_of(module: str) -> str:
    """The file that holds `module`, or of which its last part is a name; empty where there is none."""
    parts = module.split(".")[1:]
    places = ["/".join([*known, *end]) for known in (parts, parts[:-1]) for end in ([], ["__init__"])]
    return next((f"{place}.py" for place in places if (PACKAGE / f"{place}.py").is_file()), "")


def test_the_headers_of_the_rooms_name_rooms_and_never_lead_back() -> None:
    graph = {room: allowed(room) - {"Ray"} for room in ROOMS}
    assert set().union(*graph.values()) <= set(ROOMS)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) in ROOMS])
def test_a_file_imports_only_what_its_room_may(file: str) -> None:
    rooms = {room_of(other) for other in imported_files(file)}

    assert rooms - allowed(room_of(file)) - {room_of(file)} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_nothing_in_its_header_that_it_does_not_import(room: str) -> None:
    files = [file for file in FILES if room_of(file) == room]
    rooms = {room_of(other) for file in files for other in imported_files(file)}

    assert allowed(room) - {"Ray"} - rooms == set()


@pytest.mark.parametrize(
    "file", [file for file in FILES if room_of(file) in ROOMS and "Ray" not in allowed(room_of(file))]
)
def test_ray_is_imported_only_in_rooms_that_say_so(file: str) -> None:
    assert "ray" not in {module.split(".")[0] for module in imported(file)}


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) == "policy"])
def test_policy_imports_nothing_but_the_standard_library_and_what_its_values_are_made_of(file: str) -> None:
    own = sys.stdlib_module_names | {"msgspec"}
    foreign = {module for module in imported(file) if module.split(".")[0] not in own}

    assert all(module.startswith("deployments.policy.") for module in foreign), foreign


def test_no_import_goes_in_a_circle() -> None:
    graph = {file: imported_files(file) - {file} for file in FILES if file != "__init__.py"}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import goes in a circle: {' -> '.join(error.args[1])}")


def test_the_tests_are_in_the_rooms_of_what_they_test() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}

    assert folders == {room for room in ROOMS if not room.endswith(".py")} | ACROSS_ROOMS


def test_no_file_is_too_long_to_be_read_in_one_go() -> None:
    files = [path for folder in ("deployments", "tests") for path in (ROOT / folder).rglob("*") if path.is_file()]
    lines = {path: path.read_bytes().count(b"\n") for path in files if "__pycache__" not in path.parts}

    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MAX_LINES} == {}
