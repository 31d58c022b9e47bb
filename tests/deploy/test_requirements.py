"""The lock files: exact versions with hashes, the versions that the tests run with."""

import re
import tomllib
from pathlib import Path

import pytest

from deploy.lock import FOLDER, blocks, name_of
from deploy.release import torch_of_cpus

ROOT = Path(__file__).parents[2]
FILES = ("runtime.txt", "cpu.txt", "cuda.txt", "build.txt", "tools.txt")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
VERSION = re.compile(r"==([^ ;\\]+)")


def locked(*files: str) -> dict[str, str]:
    """The version of each package."""
    found = [block for file in files for block in blocks((FOLDER / file).read_text())]
    return {name_of(block): match[1] for block in found if (match := VERSION.search(block))}


@pytest.mark.parametrize("file", FILES)
def test_a_lock_file_has_a_hash_for_every_package(file: str) -> None:
    found = blocks((FOLDER / file).read_text())

    assert found
    assert [name_of(block) for block in found if "--hash=sha256:" not in block] == []


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    lines = (ROOT / "configs/constraints.txt").read_text().splitlines()
    constraints = {name_of(line): line.partition("==")[2] for line in lines if "==" in line}

    for name, version in locked("runtime.txt", "cpu.txt", "cuda.txt").items():
        assert constraints.get(name, version) == version, name


def test_torch_is_in_the_file_of_its_build_alone() -> None:
    assert "torch" not in locked("runtime.txt", "cpu.txt")
    assert locked("cuda.txt")["torch"] == "2.13.0"
    assert not locked("runtime.txt").keys() & locked("cuda.txt").keys()


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    names = {re.sub(r"[-_.]+", "-", NAME.match(each)[0]).lower() for each in asked}  # type: ignore[index]

    assert names - locked("runtime.txt", "cpu.txt", "cuda.txt").keys() == set(), "run `make lock`"


def test_the_list_of_parts_names_the_build_of_torch_that_no_lock_file_has() -> None:
    assert torch_of_cpus((FOLDER / "cuda.txt").read_text()) == "torch==2.13.0+cpu"
