"""The chart's own Redis, started as its container starts it, by a program in its place."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.deploy.test_chart import one

IN_ITS_PLACE = """
    import pathlib, signal, sys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    pathlib.Path("read").write_text(sys.stdin.read())
    pathlib.Path("read").rename("told")
    signal.pause()
"""


def test_redis_is_told_its_password_whatever_is_in_it_and_ends_at_sigterm(tmp_path: Path) -> None:
    (container,) = one("high-availability-redis", "StatefulSet")["spec"]["template"]["spec"]["containers"]
    program = tmp_path / "redis-server"
    program.write_text(f"#!{sys.executable}\n{textwrap.dedent(IN_ITS_PLACE)}")
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PASSWORD": r'a "b\ $HOME # c'}

    process = subprocess.Popen([*container["command"], *container["args"]], cwd=tmp_path, env=environment)  # noqa: S603 - the container's
    while not (tmp_path / "told").exists():
        assert process.poll() is None
    process.terminate()

    assert process.wait(20) == 5
    assert (tmp_path / "told").read_text() == 'requirepass "a \\"b\\\\ $HOME # c"\n'
