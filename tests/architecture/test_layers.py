"""The architecture as a test: a file imports from its own layer or a lower one, and Ray only where it may."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "deployments"
MAX_LINES = 300

# The layer of every file, lowest first. A new file is given a place here, or the test fails.
LAYERS = (
    ("policy/*",),
    (
        *("settings/*", "request/*", "execution/__init__.py", "execution/clock.py", "execution/schema_example.py"),
        *("observability/*", "ray_serve/__init__.py", "ray_serve/autoscaling.py", "execution/structured_output.py"),
    ),
    (
        *("sources/*", "formats/*", "generation/*", "execution/race.py", "execution/splice.py", "execution/streams.py"),
        *("execution/attempt_stream.py", "execution/relay.py", "execution/stream_opening.py"),
    ),
    ("ray_serve/handle.py", "replica/*", "router/registry.py", "router/registered_model.py", "upstream/*"),
    ("http/*", "router/__init__.py", "router/accounting.py", "router/router.py", "router/routing.py"),
    (
        "app.py",
        "client/*",
        "cli/*",
        "ray_serve/attach.py",
        "ray_serve/dashboard.py",
        "ray_serve/options.py",
        "__init__.py",
    ),
)
TOP = len(LAYERS) - 1
RAY_BELOW_THE_TOP = {"observability/metrics.py", "ray_serve/handle.py"}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def layers_of(file: str) -> list[int]:
    return [layer for layer, patterns in enumerate(LAYERS) if any(fnmatch(file, pattern) for pattern in patterns)]


def imported(file: str) -> Iterator[str]:
    """Every module `file` imports, inside functions too; `from package import name` gives `package.name`."""
    package = ("deployments", *Path(file).parent.parts)
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
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


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_its_layer(file: str) -> None:
    assert len(layers_of(file)) == 1, f"deployments/{file} belongs in one layer of LAYERS"


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_from_its_own_layer_or_lower_ones(file: str) -> None:
    layer = max(layers_of(file), default=TOP)

    too_high = {other for other in imported_files(file) if min(layers_of(other), default=TOP) > layer}

    assert too_high == set()


@pytest.mark.parametrize("file", [file for file in FILES if 0 in layers_of(file)])
def test_policy_imports_nothing_but_the_standard_library_and_what_its_values_are_made_of(file: str) -> None:
    own = sys.stdlib_module_names | {"msgspec"}
    foreign = {module for module in imported(file) if module.split(".")[0] not in own}

    assert all(module.startswith("deployments.policy.") for module in foreign), foreign


@pytest.mark.parametrize("file", [file for file in FILES if TOP not in layers_of(file)])
def test_ray_is_imported_at_the_top_in_calls_and_in_metrics_only(file: str) -> None:
    if file not in RAY_BELOW_THE_TOP:
        assert "ray" not in {module.split(".")[0] for module in imported(file)}


def test_no_import_goes_in_a_circle() -> None:
    graph = {file: imported_files(file) - {file} for file in FILES if file != "__init__.py"}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import goes in a circle: {' -> '.join(error.args[1])}")


def test_no_file_is_too_long_to_be_read_in_one_go() -> None:
    files = [path for folder in ("deployments", "tests") for path in (ROOT / folder).rglob("*") if path.is_file()]
    lines = {path: path.read_bytes().count(b"\n") for path in files if "__pycache__" not in path.parts}

    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MAX_LINES} == {}
