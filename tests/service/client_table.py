"""The table of the README that says which clients work, as the results of their tests have it.

`python -m tests.service.client_table` writes it there, from the results of the last whole run of `test_clients`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import msgspec

from tests.service.clients import RESULTS, Result
from tests.service.service import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- clients -->\n", "<!-- /clients -->\n"
_MOST_NAMED = 10


def row(result: Result) -> str:
    """Return the row of a client: what passed by its names, or how much, where that is many."""
    names = [name.removeprefix("test_").replace("_", " ") for name in result.passed]
    passed = ", ".join(dict.fromkeys(name.partition("[")[0] for name in names))
    if len(names) > _MOST_NAMED:
        passed = f"{len(names)} tests"
    skipped = f"; skipped: {', '.join(f'`{name}`' for name in result.skipped)}" if result.skipped else ""
    return f"| {result.client} | {result.version} | {passed}{skipped} |\n"


def table(results: Sequence[Result]) -> str:
    """Return the whole table."""
    return "| client | version | what passes |\n|---|---|---|\n" + "".join(map(row, results))


def write_results(results: Sequence[Result]) -> None:
    """Keep the results of a run."""
    RESULTS.write_text(json.dumps([asdict(result) for result in results]))


def read_results() -> list[Result]:
    """Return the results of the last run."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[Result])


if __name__ == "__main__":
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + table(read_results()) + END + rest.partition(END)[2])
