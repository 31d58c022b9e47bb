"""`make release`: checks, builds and describes what is given out. It uploads nothing and tags nothing.

dist/neverblank-<version>-py3-none-any.whl, dist/neverblank-<version>.tar.gz
dist/neverblank-<version>-<cpu|cuda>.cdx.json    the list of its parts (CycloneDX), of the lock files
dist/NOTES.md                                    the section of the changelog
dist/SHA256SUMS                                  of all of these
"""

import hashlib
import shutil
import subprocess
import sys
import tomllib

from deploy.changelog import ChangelogError, section_of
from deploy.lock import FOLDER, ROOT, blocks, name_of

DIST = ROOT / "dist"
VARIANTS = {"cpu": ("runtime.txt", "cpu.txt"), "cuda": ("runtime.txt", "cuda.txt")}


class NotReleasableError(Exception):
    """The tree is not what a release can be made of; the message says why."""


def main() -> None:
    """Make `dist/`, or say why not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = str(project["version"])
    try:
        notes = section_of((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version).text
        require_clean(_run("git", "status", "--porcelain"), _run("git", "tag", "--list", f"v{version}"))
    except (ChangelogError, NotReleasableError) as error:
        sys.exit(f"no release: {error}")
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST), ".")
    for variant, files in VARIANTS.items():
        _list_parts(version, variant, files)
    (DIST / "NOTES.md").write_text(f"{notes}\n", encoding="utf-8")
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")
    print(f"next: git tag -s v{version}, upload dist/*.whl and dist/*.tar.gz, push the image by digest")


def require_clean(changed: str, tags: str) -> None:
    """Refuse a tree with changes (as `git status --porcelain` tells them) or a version that has a tag.

    Raises:
        NotReleasableError: it is one of these.
    """
    if changed:
        raise NotReleasableError(f"the tree has changes that are not committed:\n{changed}")
    if tags:
        raise NotReleasableError(f"{tags.strip()} is tagged already")


def torch_of_cpus(cuda: str) -> str:
    """The requirement of torch's CPU build, by the lock file of the other one: the same version with a local part."""
    (torch,) = (block for block in blocks(cuda) if name_of(block) == "torch")
    return f"{torch.split()[0]}+cpu"


def _list_parts(version: str, variant: str, files: tuple[str, ...]) -> None:
    joined = DIST / f".{variant}.txt"
    texts = [(FOLDER / file).read_text(encoding="utf-8") for file in files]
    if variant == "cpu":  # its build of torch is in no lock file
        texts.append(f"{torch_of_cpus((FOLDER / 'cuda.txt').read_text(encoding='utf-8'))}\n")
    joined.write_text("".join(texts))
    target = DIST / f"neverblank-{version}-{variant}.cdx.json"
    tool = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", str(ROOT / "pyproject.toml")]
    _run(*tool, "--output-reproducible", "--output-format", "JSON", "--output-file", str(target), str(joined))
    joined.unlink()


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main()
