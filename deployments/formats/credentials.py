"""Credentials in a replica's environment, which code in somebody else's model file has no business with.

A replica of such a format is started with them set to nothing (`app.replica_options`), as what a process was started
with can be read for as long as it lives; and forgets those that its node has all the same before it loads the file.
"""

import os
import re
from collections.abc import Iterable, MutableMapping

_NAME = re.compile(
    r"(^|_)(API_?KEYS?|KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH|DSN)($|_)|"
    r"^(AWS|AZURE|GOOGLE|GCP|HF|OPENAI|ANTHROPIC)_|_URL$|_URI$",
    re.IGNORECASE,
)
_RAY = "RAY_"
"""Ray's own are needed to take part in the cluster at all."""


def credentials(names: Iterable[str]) -> list[str]:
    """Those of `names` whose variables may hold credentials; addresses are among them, as they often do."""
    return [name for name in names if _NAME.search(name) and not name.startswith(_RAY)]


def forget(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove them from `environment`."""
    for name in credentials(list(environment)):
        del environment[name]
