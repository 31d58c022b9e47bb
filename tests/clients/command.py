"""Runs the commands of the environment that a test runs in."""

import os
import subprocess
import sys
from pathlib import Path


def output_of(name: str, *arguments: str, **environment: str) -> str:
    """Return what the command `name` prints, with `environment` and the path as its environment.

    Raises:
        AssertionError: it has failed.
    """
    done = subprocess.run(  # noqa: S603 - of the packages under test
        [str(Path(sys.executable).parent / name), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
