"""Credentials in the environment of a replica that loads somebody else's model file.

The lock is the digest that a spec pins: a file that is not the pinned one is not loaded. Removing credentials only
limits the damage of a pinned file that turns out to be malicious. It does not contain such code: a replica belongs to
the Ray cluster and can command it, and it can read whatever its user can read.

Two things are done, as a process's environment can be read for as long as the process lives. The replica is started
with the variables set to nothing (`ray_serve.options`), and it removes those that its node has all the same before it
loads the file.
"""

import os
from collections.abc import MutableMapping

from deployments.settings.credentials import credentials


def remove_credentials(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove every variable from `environment` that may hold credentials."""
    for name in credentials(list(environment)):
        del environment[name]
