"""`neverblank serve`: what it starts, in which environment, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

from deployments.cli.serve import service_environment
from tests.cli.serving import neverblank

serve = import_module("deployments.cli.serve")

SAYS = """
    import os, pathlib, sys
    said = [*sys.argv[1:], os.environ["NEVERBLANK_ROOT"], os.environ["RAY_AUTH_MODE"]]
    pathlib.Path("said").write_text("\\n".join(said))
    sys.exit(7)
"""
WAITS = """
    import pathlib, signal, sys
    signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
    pathlib.Path("up").touch()
    signal.pause()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with a config, and no HAProxy to look after."""
    (tmp_path / "serve_config.yaml").write_text("http_options: {port: 0}\napplications: []\n")
    monkeypatch.setenv("NEVERBLANK_ROOT", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setattr(serve, "stop_orphaned_haproxies", lambda: 0)
    monkeypatch.setattr(serve, "default_config", lambda: "serve_config.yaml")
    return tmp_path


def program(folder: Path, text: str) -> Path:
    """A program in the place of Ray's `serve`."""
    file = folder / "serve"
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    file.chmod(0o755)
    return file


def test_serve_runs_the_config_of_the_folder_and_ends_as_it_does(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_program", lambda: str(program(project, SAYS)))

    done = neverblank(capsys, monkeypatch, "serve", "--no-weights")

    assert done.code == 7
    said = (project / "said").read_text().split("\n")
    assert said == ["run", str(project / "serve_config.yaml"), str(project), "token"]


def test_the_weights_come_first(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled: list[Path] = []
    monkeypatch.setattr(serve, "pull", pulled.append)
    monkeypatch.setattr(serve, "_program", lambda: str(program(project, SAYS)))

    neverblank(capsys, monkeypatch, "serve")

    assert pulled == [Path("serve_config.yaml")]


def test_a_port_that_another_program_has_is_named_and_nothing_is_started(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_program", lambda: str(program(project, SAYS)))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (project / "serve_config.yaml").write_text(f"http_options: {{port: {port}}}\napplications: []\n")

        done = neverblank(capsys, monkeypatch, "serve", "--no-weights")

    assert done.code == 1
    assert f"http_options: 127.0.0.1:{port}: Address already in use" in done.err
    assert not (project / "said").exists()


def test_the_port_of_a_cluster_elsewhere_is_not_looked_at_here(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_program", lambda: str(program(project, SAYS)))
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = f"http_options: {{port: {other.getsockname()[1]}}}\napplications: []\n"
        (project / "serve_config.yaml").write_text(config)

        assert neverblank(capsys, monkeypatch, "serve", "--no-weights").code == 7


def test_a_config_that_is_not_there_is_named_and_nothing_is_started(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_program", lambda: str(program(project, SAYS)))

    done = neverblank(capsys, monkeypatch, "serve", "missing.yaml")

    assert done.code == 1
    assert "missing.yaml" in done.err
    assert not (project / "said").exists()


def test_an_interrupt_is_passed_on_though_a_shell_had_it_ignored(project: Path) -> None:
    start = textwrap.dedent(f"""
        import signal
        from importlib import import_module
        serve = import_module("deployments.cli.serve")
        serve._program = lambda: {str(program(project, WAITS))!r}
        serve.stop_orphaned_haproxies = lambda: 0
        import sys
        sys.argv = ["neverblank", "serve", "--no-weights", "serve_config.yaml"]
        from deployments.cli import main
        main()
    """)
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", start],
        cwd=project,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - as a shell does it
    )
    while not (project / "up").exists():
        assert process.poll() is None

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 5


def run_waiting(project: Path, told: signal.Signals) -> int:
    """Run a command that waits for an interrupt, tell this process something, and return how the command has ended."""
    with serve._passing_signals_on([str(program(project, WAITS))]) as process:
        while not (project / "up").exists():
            assert process.poll() is None
        os.kill(os.getpid(), told)
        if signal.getsignal(told) is signal.SIG_IGN:
            process.kill()
        code: int = process.wait(20)
    return code


def test_a_terminal_that_is_closed_leaves_no_service_behind(project: Path) -> None:
    assert run_waiting(project, signal.SIGHUP) == 5


def test_with_nohup_the_service_outlives_its_terminal(project: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_waiting(project, signal.SIGHUP) == -signal.SIGKILL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_the_folder_holds_goes_before_what_was_there(project: Path) -> None:
    made = service_environment({"PATH": "/bin", "PYTHONPATH": "/elsewhere", "RAY_AUTH_MODE": "disabled"})

    assert made["PYTHONPATH"] == f"{project}:/elsewhere"
    assert made["PATH"].endswith(":/bin")
    assert made["RAY_AUTH_MODE"] == "disabled"


def test_where_ray_brings_no_haproxy_the_portable_config_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")

    assert serve.default_config() == "configs/portable.yaml"


def test_haproxy_is_started_by_way_of_the_program_that_closes_its_statistics(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = project / "neverblank-haproxy"
    program.touch(mode=0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(project))

    assert service_environment({})["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(program)
    assert service_environment({"RAY_SERVE_HAPROXY_BINARY_PATH": "/x"})["RAY_SERVE_HAPROXY_BINARY_PATH"] == "/x"
