"""The documents list and count what is tested, and nothing else."""

import re

from tests.architecture.test_documents import text_of
from tests.upstream.dialects import DIALECTS
from tests.upstream.dialects_of_messages import MESSAGE_DIALECTS
from tests.upstream.dialects_of_responses import RESPONSE_DIALECTS
from tests.upstream.faulty import SPOKEN

ROW = re.compile(
    r"^\| `((?:too-long|operator|passing|content|withheld|invalid|unsure)-[\w.-]+)` \| (\d+) \|", re.MULTILINE
)


def test_every_error_of_a_provider_is_in_the_table_with_its_status() -> None:
    rows = {f"error-{name}": int(status) for name, status in ROW.findall(text_of("docs/providers.md"))}

    assert rows == {name: dialect.status for name, dialect in DIALECTS.items()}


def test_the_changelog_counts_the_dialects() -> None:
    told = " ".join(text_of("CHANGELOG.md").split())

    assert (
        f"{len(SPOKEN)} dialects of chats, {len(MESSAGE_DIALECTS)} of Messages, {len(RESPONSE_DIALECTS)} of Responses, "
        f"{len(DIALECTS)} of errors."
    ) in told
