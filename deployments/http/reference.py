"""The tables of fields in `docs/api.md`, made from the structs that read them.

`python -m deployments.http.reference` writes them; a test holds the document to the structs. A table stands between
`<!-- fields: <struct> -->` and `<!-- /fields -->`.
"""

import re
from pathlib import Path

from msgspec import Struct

from deployments.http.body_schemas import FORMS, described_fields

_TABLE = re.compile(r"(<!-- fields: (\w+) -->\n).*?(<!-- /fields -->)", re.DOTALL)
_HEAD = "| field | what it does | accepted |\n|---|---|---|\n"
_API = Path(__file__).parents[2] / "docs" / "api.md"


def with_tables(document: str) -> str:
    """Return `document` with each table made anew.

    Raises:
        KeyError: a table is of a struct that no request has.
    """
    structs = {part.__name__: part for form in FORMS for part in (*form.parts, form.passed) if part is not None}
    return _TABLE.sub(lambda found: f"{found[1]}{_table(structs[found[2]])}{found[3]}", document)


def _table(struct: type[Struct]) -> str:
    rows = [(f"`{name}`", does, says) for name, (says, does) in described_fields(struct).items()]
    return _HEAD + "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    _API.write_text(with_tables(_API.read_text(encoding="utf-8")), encoding="utf-8")
