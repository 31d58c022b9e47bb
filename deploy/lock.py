"""`make lock`: writes `deploy/requirements/`, in which every package has its exact version and the hashes of its files.

    runtime.txt   what the service needs on every host
    cpu.txt       OpenVINO, the engine of CPUs
    cuda.txt      torch in the build with CUDA's libraries, as the package index has it, and those libraries
    build.txt     what builds the wheel
    tools.txt     what makes a release: the list of parts (SBOM)

Versions are those of `configs/constraints.txt`; one that is missing there is chosen here. The files hold for every
Python and system that the service runs on, with markers.

The CPU build of torch is in none of them. It is `torch==2.13.0` with a local version (`+cpu`), which PyTorch gives out
on an index of its own; its file differs by Python and system. Whoever installs it names
its file and digest: `TORCH_WHEEL` of deploy/Dockerfile.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy/requirements"
CONSTRAINTS = "configs/constraints.txt"
BUILD = ("hatchling>=1.25", "wheel")
TOOLS = ("build>=1.6,<2", "cyclonedx-bom>=7.5,<8")
PYTHON = "3.11"
"""The oldest one: what resolves for it and later holds for all."""

_CUDA = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)$")
_NAME = re.compile(r"^([A-Za-z0-9][\w.-]*)==")


def main() -> None:
    """Write all five files."""
    FOLDER.mkdir(exist_ok=True)
    whole = blocks(_compiled("pyproject.toml"))
    names = {name_of(block) for block in whole}
    with_cpu = blocks(_compiled("pyproject.toml", "--extra", "cpu"))
    _write("runtime.txt", whole, lambda name: not _CUDA.match(name))
    _write("cuda.txt", whole, lambda name: bool(_CUDA.match(name)))
    _write("cpu.txt", with_cpu, lambda name: name not in names)
    _write("build.txt", blocks(_compiled("-", wanted=BUILD)), bool)
    _write("tools.txt", blocks(_compiled("-", wanted=TOOLS)), bool)


def blocks(text: str) -> list[str]:
    """The requirements of a lock file, each with the lines of its hashes; comments left out."""
    found: list[str] = []
    for line in text.splitlines():
        if _NAME.match(line):
            found.append(line)
        elif line.startswith("    --hash="):
            found[-1] += f"\n{line}"
    return found


def name_of(block: str) -> str:
    """The normalized name of the package of `block`."""
    match = _NAME.match(block)
    assert match  # noqa: S101 - `blocks` makes no others
    return re.sub(r"[-_.]+", "-", match[1]).lower()


def _write(file: str, found: Iterable[str], wanted: Callable[[str], bool]) -> None:
    head = "# Made by `make lock` from pyproject.toml and configs/constraints.txt: change those.\n"
    text = "\n".join(block for block in found if wanted(name_of(block)))
    (FOLDER / file).write_text(f"{head}{text}\n")


def _compiled(source: str, *options: str, wanted: Iterable[str] = ()) -> str:
    """What uv makes of `source`: a file, or `-` for the requirements `wanted`."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
        *("--python-version", PYTHON, "--constraint", CONSTRAINTS, "--no-annotate", "--no-header", *options, source),
    ]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(wanted), text=True, check=True, stdout=subprocess.PIPE)
    return done.stdout


if __name__ == "__main__":
    main()
