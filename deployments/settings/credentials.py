"""Which variables and options hold credentials, by their names. This is the one definition of that."""

import re
from collections.abc import Iterable

_NAME = re.compile(
    r"(^|_)(API_?KEYS?|KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH|DSN)($|_)|"
    r"PASSWORD$|_PWD$|(^|_)(PAT|ACCESS_?KEY)($|_)|"
    r"^(AWS|AZURE|GOOGLE|GCP|HF|OPENAI|ANTHROPIC)_|_URL$|_URI$",
    re.IGNORECASE,
)
_RAY = "RAY_"
"""Ray's own variables stay: without them a process cannot take part in the cluster."""


def credentials(names: Iterable[str]) -> list[str]:
    """The variables among `names` that may hold credentials. Addresses are among them, as they often hold some."""
    return [name for name in names if _NAME.search(name) and not name.startswith(_RAY)]
