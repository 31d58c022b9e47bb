"""The files that a project of its own starts from: what `neverblank init` lays out, and what the wheel carries.

A wheel has them in `project/` beside this file (`hatch_build.py` puts them there); a checkout has them at its root.
Only the standard library is imported here, as the build reads the list without what the service needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT_FILES = (
    "serve_config.yaml",
    "configs/*.yaml",
    "configs/models/*.yaml",
    "examples/__init__.py",
    "examples/echo.py",
)
"""Patterns of the files, from the root of a checkout."""

CARRIED = "project"
"""The folder that has them in a wheel, beside this file."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """The files of a project, by what became of them; paths from the project's folder.

    Attributes:
        written: those that were not there.
        kept: those that were there with the same content.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]


def project_files(home: Path) -> Iterator[str]:
    """The paths of the files below `home`, a checkout or the folder of a wheel, in order."""
    for pattern in PROJECT_FILES:
        yield from sorted(path.relative_to(home).as_posix() for path in home.glob(pattern))


def home_of_files() -> Path:
    """The folder that the files are copied from."""
    carried = Path(__file__).with_name(CARRIED)
    return carried if carried.is_dir() else Path(__file__).resolve().parents[2]


def lay_out_files(folder: Path) -> LaidOut:
    """Copy the files into `folder`, which is made where it is missing. Nothing is overwritten.

    Raises:
        FileExistsError: a file is there with another content; then nothing has been written.
        OSError: a file cannot be read or written.
    """
    home = home_of_files()
    contents = {file: (home / file).read_bytes() for file in project_files(home)}
    there = [file for file in contents if (folder / file).exists()]
    changed = [
        file for file in there if not (folder / file).is_file() or (folder / file).read_bytes() != contents[file]
    ]
    if changed:
        raise FileExistsError(f"{', '.join(changed)} in {folder}: would be overwritten; nothing was written")
    for file in contents.keys() - set(there):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(contents[file])
    return LaidOut(tuple(file for file in contents if file not in there), tuple(there))
