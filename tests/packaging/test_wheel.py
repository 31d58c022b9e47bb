"""The built wheel works without this repository: `neverblank init` and `neverblank serve` in an empty folder.

The environment is a new one. So that it is made in seconds, what the service needs is not installed into it again but
found in the environment of the tests, by a line in a `.pth` file; such a line does not run the `.pth` files there, so
this checkout is not found. `make test-install` installs all of it.
"""

import os
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.ports import free_port
from tests.service.service import ROOT, eventually, unmeasured

START_S = 300.0


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel, built from the checkout, and with nothing else of it."""
    folder = tmp_path_factory.mktemp("environment")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)  # noqa: S603
    (wheel,) = folder.glob("neverblank-*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "what_the_tests_have.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    subprocess.run(command, check=True)  # noqa: S603
    program = folder / "venv/bin/serve"
    program.write_text(f"#!{python}\nfrom ray.serve.scripts import cli\ncli()\n")
    program.chmod(0o755)
    return folder / "venv"


@pytest.fixture
def project(environment: Path, tmp_path: Path) -> Path:
    """An empty folder in which `neverblank init` was run."""
    folder = tmp_path / "mine"
    subprocess.run([environment / "bin/neverblank", "init", folder], check=True, env=clean())  # noqa: S603
    return folder


def clean() -> dict[str, str]:
    """An environment variable for nothing that leads to this checkout."""
    kept = {name: value for name, value in unmeasured().items() if not name.startswith(("NEVERBLANK_", "RAY_"))}
    kept.pop("PYTHONPATH", None)
    return kept


def with_the_example(project: Path) -> str:
    """Serve the example in the place of SmolLM2, on a port that is free; the address."""
    file = project / "serve_config.yaml"
    config = yaml.safe_load(file.read_text())
    config["http_options"]["port"] = port = free_port()
    ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port()) for name in ("STATS", "METRICS")}
    model = config["applications"][1]
    model |= {"name": "echo", "args": {"spec": "configs/models/echo.yaml"}}
    for holder in (config["controller_options"], *config["applications"]):
        holder["runtime_env"]["env_vars"] |= ports
    file.write_text(yaml.safe_dump(config))
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def served(environment: Path, project: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of the example's service, and the process of `neverblank serve`."""
    url = with_the_example(project)
    session = Path(f"/tmp/nb-{os.getpid()}-{free_port()}")  # noqa: S108 - Ray's sockets need a short path
    variables = clean() | {"RAY_TMPDIR": str(session), "NEVERBLANK_CACHE": str(ROOT / "cache")}
    log = tmp_path / "serve.log"
    with log.open("w") as written:
        process = subprocess.Popen(  # noqa: S603
            [environment / "bin/neverblank", "serve"], cwd=project, env=variables, stdout=written, stderr=written
        )
    try:
        eventually(lambda: httpx.get(f"{url}/healthz").status_code == httpx.codes.OK, START_S, every_s=0.2)
        yield url, process
    except TimeoutError as error:
        raise TimeoutError(f"{error}; the log ends with: {log.read_text()[-3000:]}") from error
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(90)


def test_the_environment_knows_nothing_of_this_checkout(environment: Path, project: Path) -> None:
    script = "import deployments, importlib.util as u; print(deployments.__file__, u.find_spec('tests'))"
    done = subprocess.run(  # noqa: S603
        [environment / "bin/python", "-c", script], cwd=project.parent, env=clean(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert done.stdout.startswith(str(environment))
    assert done.stdout.strip().endswith("None")


@pytest.mark.timeout(600)
def test_a_service_of_an_empty_folder_answers_with_its_own_model_and_leaves_nothing(
    served: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, process = served
    asked = {"text": "Hello", "model": "echo", "timeout": 20}

    def of_the_example() -> bool:
        answer = httpx.post(f"{url}/v1/infer", json=asked, timeout=30).json()
        return bool(answer["served_by"] == "primary" and answer["result"] == "Hello")

    eventually(of_the_example, START_S, every_s=0.5)
    family = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGINT)

    assert process.wait(90) == 0
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")
