"""The documents as tests: what they name exists, and every row of the contract is shown by a test."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from deployments.observability.metric_table import METRICS, metric_reference
from tests.architecture.parsing import parse
from tests.architecture.test_layers import PACKAGE, ROOMS, ROOT, allowed
from tests.upstream.dialects_of_messages import MESSAGE_DIALECTS
from tests.upstream.dialects_of_responses import RESPONSE_DIALECTS
from tests.upstream.faulty import SPOKEN

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for place in ("*.md", "docs/**/*.md", "cache/README.md")
    for path in ROOT.glob(place)
)

CONTRACT = "docs/failure-modes.md"
GLOSSARY = "docs/glossary.md"
ARCHITECTURE = "docs/architecture.md"
COLUMNS = ["what goes wrong", "what the caller gets", "next", "evidence", "told by", "shown by"]
LEAST_ROWS = 45
PROVIDERS = "docs/providers.md"
DIALECT_COLUMNS = ["dialect", "who sends it, and what it looks like", "what is made of it", "shown by"]
NOTHING = "nothing"
TELLING = frozenset({"info", "warning", "error", "log"})
"""Methods of the logger. Their first text is the event; `log` has a level before it."""

LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"[\w.*-]+(?:/[\w.@<>*-]+)+\.(?:py|yaml|md|sh|json|txt)")
DOTTED = re.compile(r"\b(?:deployments|examples|tests|benchmarks)(?:\.\w+)+(?::\w+)?")
IN_ROOM = re.compile(rf"(?:{'|'.join(map(re.escape, ROOMS))})(?:\.\w+){{2,}}")
CLASS = re.compile(r"(?:[A-Z][a-z]+)+")
EVENT = re.compile(r'"event": "(\w+)"')
TEST = re.compile(r"tests/[\w/]+\.py::test_\w+")


class Row(NamedTuple):
    """A row of a table: its document, its line, and its cells."""

    document: str
    line: int
    cells: list[str]

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def rows(document: str, columns: list[str]) -> Iterator[Row]:
    """The rows of every table of `document` that has these columns."""
    inside = False
    for line, text in enumerate(text_of(document).splitlines(), 1):
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")] if text.startswith("|") else []
        if cells == columns:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(text) - set("|-"):
            yield Row(document, line, cells)


def names_in(cell: str) -> list[str]:
    return CODE.findall(cell)


@cache
def defined(path: Path) -> frozenset[str]:
    """Every name that a Python file gives to a class, a function, a constant or an attribute."""
    names = set[str]()
    for node in ast.walk(parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return frozenset(names)


@cache
def collected(path: Path) -> frozenset[str]:
    """The test functions of a file, as pytest collects them."""
    module = parse(path.read_text(encoding="utf-8"))
    functions = (node for node in module.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@cache
def told() -> frozenset[str]:
    """Every log line and metric that the service has."""
    found = {metric.name for metric in METRICS}
    found |= set(EVENT.findall(text_of("deployments/observability/log_writer.py")))
    for node in ast.walk(parse(text_of("deployments/observability/log.py"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TELLING:
            found |= {str(arg.value) for arg in node.args[:2] if isinstance(arg, ast.Constant)}
    return frozenset(found)


@cache
def anchors(document: str) -> frozenset[str]:
    """The anchors of a document's headings, by GitHub's rule."""
    headings = re.findall(r"^#{1,6} +(.+?)\s*$", FENCE.sub("", text_of(document)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return frozenset(heading.strip().replace(" ", "-") for heading in plain)


CONTRACT_ROWS = list(rows(CONTRACT, COLUMNS))
ROOM_ROWS = list(rows(ARCHITECTURE, ["room", "what it holds", "what it may import"]))
GLOSSARY_ROWS = list(rows(GLOSSARY, ["term", "meaning", "defined in"]))


DIALECT_ROWS = list(rows(PROVIDERS, DIALECT_COLUMNS))


def test_the_contract_has_a_row_for_each_thing_that_can_go_wrong() -> None:
    assert len(CONTRACT_ROWS) >= LEAST_ROWS
    assert sorted(row.cells[0] for row in CONTRACT_ROWS) == sorted({row.cells[0] for row in CONTRACT_ROWS})


@pytest.mark.parametrize("row", CONTRACT_ROWS, ids=str)
def test_a_row_of_the_contract_is_whole(row: Row) -> None:
    assert len(row.cells) == len(COLUMNS)
    assert all(row.cells)
    assert row.cells[2] in {"yes", "no", "-"}
    assert row.cells[3] in {"failure", "success", "neutral", "-"}


@pytest.mark.parametrize("row", CONTRACT_ROWS, ids=str)
def test_a_row_of_the_contract_names_a_test_that_exists(row: Row) -> None:
    (test,) = names_in(row.cells[-1])

    assert TEST.fullmatch(test), test
    assert _is_test(test), test


@pytest.mark.parametrize("row", DIALECT_ROWS, ids=str)
def test_a_row_of_the_dialects_is_whole_and_names_a_test_that_exists(row: Row) -> None:
    (test,) = names_in(row.cells[-1])

    assert len(row.cells) == len(DIALECT_COLUMNS)
    assert all(row.cells)
    assert _is_test(test), test


def test_each_dialect_that_the_tests_speak_is_in_one_row() -> None:
    named = [name for row in DIALECT_ROWS for name in names_in(row.cells[0])]

    assert sorted(named) == sorted(SPOKEN | MESSAGE_DIALECTS | RESPONSE_DIALECTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_a_document_names_exists(document: str) -> None:
    assert [test for test in TEST.findall(text_of(document)) if not _is_test(test)] == []


@pytest.mark.parametrize("row", CONTRACT_ROWS, ids=str)
def test_a_row_of_the_contract_names_log_lines_and_metrics_that_exist(row: Row) -> None:
    names = names_in(row.cells[4])

    assert names or row.cells[4] == NOTHING
    assert set(names) - told() == set()


@pytest.mark.parametrize("row", GLOSSARY_ROWS, ids=str)
def test_a_term_of_the_glossary_is_defined_where_it_says(row: Row) -> None:
    for place in names_in(row.cells[2]):
        file, _, name = place.partition(":")
        assert (PACKAGE / file).is_file(), place
        assert not name or name in defined(PACKAGE / file), place
    assert names_in(row.cells[2])


def test_the_glossary_has_one_meaning_a_term_in_order() -> None:
    terms = [row.cells[0].lower() for row in GLOSSARY_ROWS]

    assert len(terms) > LEAST_ROWS
    assert terms == sorted(set(terms))


def test_the_architecture_lists_every_room_with_what_its_header_lets_it_import() -> None:
    table = {names_in(row.cells[0])[0].strip("/"): row.cells[2] for row in ROOM_ROWS}

    assert sorted(table) == ROOMS
    for room, cell in table.items():
        assert set(names_in(cell)) == allowed(room) - {"Ray"}, room
        assert ("Ray" in cell) == ("Ray" in allowed(room)), room


def test_every_class_the_architecture_names_is_one_of_ours() -> None:
    ours = frozenset[str]().union(*(defined(path) for path in PACKAGE.rglob("*.py")))

    assert {name for name in names_in(FENCE.sub("", text_of(ARCHITECTURE))) if CLASS.fullmatch(name)} <= ours


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_a_document_names_exists(document: str) -> None:
    named = {code for code in CODE.findall(FENCE.sub("", text_of(document))) for code in FILE.findall(code)}
    missing = {name for name in named if not _is_pattern(name) and not _exists(name)}

    assert missing == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_a_document_names_exists(document: str) -> None:
    text = text_of(document)
    named = {f"deployments.{code}" for code in CODE.findall(FENCE.sub("", text)) if IN_ROOM.fullmatch(code)}
    for dotted in named | set(DOTTED.findall(text)):
        module, _, name = dotted.partition(":")
        assert _module_defines(module, name), f"{document} names {dotted}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: str) -> None:
    for target in LINK.findall(FENCE.sub("", text_of(document))):
        if "://" in target:
            continue
        path, _, anchor = unquote(target).partition("#")
        place = ((ROOT / document).parent / path).resolve() if path else ROOT / document
        assert place.exists(), f"{document} links to {target}"
        assert place.is_relative_to(ROOT), f"{document} links to {target}"
        assert not anchor or anchor in anchors(place.relative_to(ROOT).as_posix()), f"{document} links to {target}"


def test_the_page_of_metrics_is_made_from_their_table() -> None:
    made = "python -m deployments.observability.metric_table"
    assert text_of("docs/metrics.md") == metric_reference(), f"run {made}"


def test_every_decision_is_in_the_list_of_decisions() -> None:
    decisions = {path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}

    assert decisions <= set(LINK.findall(text_of("docs/decisions/README.md")))


def _is_test(test: str) -> bool:
    file, _, name = test.partition("::")
    return (ROOT / file).is_file() and name in collected(ROOT / file)


def _is_pattern(name: str) -> bool:
    """It stands for many files, or for one that the reader makes."""
    return any(char in name for char in "<>*")


def _exists(name: str) -> bool:
    return any((folder / name).exists() for folder in (ROOT, PACKAGE))


def _module_defines(module: str, name: str) -> bool:
    """Whether `module` is one, or the last part of it is a name in one; with `name`, whether that is in it."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return not name or name in defined(file)
    parent, _, last = module.rpartition(".")
    return not name and bool(parent) and _module_defines(parent, last)
