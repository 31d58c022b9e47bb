"""Credentials in the environment of a replica that loads somebody else's model file.

The lock is the digest that a spec pins: a file that is not the pinned one is not loaded. Removing credentials only
limits the damage of a pinned file that turns out to be malicious. It does not contain such code: a replica belongs to
the Ray cluster and can command it, and it can read whatever its user can read.

Two things are done, as a process's environment can be read for as long as the process lives. The replica is started
with the variables set to nothing (`ray_serve.options`), and it removes those that its node has all the same before it
loads the file.
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
"""Ray's own variables stay: without them a process cannot take part in the cluster."""


def credentials(names: Iterable[str]) -> list[str]:
    """The variables among `names` that may hold credentials. Addresses are among them, as they often hold some."""
    return [name for name in names if _NAME.search(name) and not name.startswith(_RAY)]


def remove_credentials(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove every variable from `environment` that may hold credentials."""
    for name in credentials(list(environment)):
        del environment[name]
