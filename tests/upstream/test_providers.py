"""`docs/providers.md` lists the errors that are tested, and no others."""

import re

from tests.architecture.test_documents import text_of
from tests.upstream.dialects import DIALECTS

ROW = re.compile(
    r"^\| `((?:too-long|operator|passing|content|withheld|invalid|unsure)-[\w.-]+)` \| (\d+) \|", re.MULTILINE
)


def test_every_error_of_a_provider_is_in_the_table_with_its_status() -> None:
    rows = {f"error-{name}": int(status) for name, status in ROW.findall(text_of("docs/providers.md"))}

    assert rows == {name: dialect.status for name, dialect in DIALECTS.items()}
