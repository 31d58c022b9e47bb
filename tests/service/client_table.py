"""The tables of the README that say which clients work, as the results of their tests have it.

`python -m tests.service.client_table` writes them there, from the results of the last whole run of `test_clients` in
`make test`, and in `make soak`. A table whose results are not there stays as it is.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import msgspec

from tests.service.clients import INSTALLED, Result
from tests.service.service import ROOT

README = ROOT / "README.md"
RESULTS = {"clients": INSTALLED / "results.json", "tools": INSTALLED / "tools.json"}
"""Where the results of each table are kept."""

_MOST_NAMED = 12


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


def write_results(results: Sequence[Result], which: str) -> None:
    """Keep the results of a run, for the table `which`."""
    RESULTS[which].write_text(json.dumps([asdict(result) for result in results]))


def written(text: str, which: str, results: Sequence[Result]) -> str:
    """Return the README's `text` with the table `which` made anew."""
    begin, end = f"<!-- {which} -->\n", f"<!-- /{which} -->\n"
    before, _, rest = text.partition(begin)
    return before + begin + table(results) + end + rest.partition(end)[2]


if __name__ == "__main__":
    readme = README.read_text()
    for name, file in RESULTS.items():
        if file.exists():
            readme = written(readme, name, msgspec.json.decode(file.read_bytes(), type=list[Result]))
    README.write_text(readme)
