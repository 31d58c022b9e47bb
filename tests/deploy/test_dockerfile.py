"""The Dockerfile: clean by hadolint, and what it promises of itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.dockerfile import Stage, instructions_of, read_stages, words

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def stages(**arguments: str) -> dict[str, Stage]:
    found, _ = read_stages(DOCKERFILE.read_text(), arguments)
    return {stage.name: stage for stage in found}


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.prefix) / "bin/hadolint"
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
@pytest.mark.parametrize("weights", ["none", "bundled"])
def test_every_base_is_a_stage_or_an_image_by_its_digest(variant: str, weights: str) -> None:
    found = stages(VARIANT=variant, WEIGHTS=weights)

    assert [stage.base for stage in found.values() if stage.base not in found and not DIGEST.search(stage.base)] == []


def test_the_service_does_not_run_as_root_and_says_whether_it_is_well() -> None:
    service = list(stages().values())[-1]
    by_word = {step.word: step.text for step in service.instructions}

    assert by_word["USER"] == "1000:1000"
    assert words(by_word["HEALTHCHECK"].partition("CMD ")[2])[-1] == "http://127.0.0.1:8000/healthz"
    assert words(by_word["CMD"]) == ["neverblank", "serve"]


def test_every_package_is_installed_by_its_hash() -> None:
    installs = [step.text for step in instructions_of(DOCKERFILE.read_text()) if "pip install" in step.text]

    assert len(installs) >= len(("build", "cpu", "cuda", "wheel"))
    assert all("--require-hashes" in text or "--no-index" in text for text in installs)


@pytest.mark.parametrize(
    "given", ["", "https://x.example/torch.whl", "https://x.example/torch.whl#sha256=12", f"#sha256={'0' * 64}"]
)
def test_torch_without_an_address_and_a_digest_is_refused_with_what_is_needed(given: str) -> None:
    done = _torch(given)

    assert done.returncode == 1
    assert "sha256" in done.stderr
    assert not done.stdout


def test_torch_with_an_address_and_a_digest_is_a_requirement_by_hash() -> None:
    done = _torch(f"https://x.example/torch.whl#sha256={'0' * 64}")

    assert done.stdout == f"torch @ https://x.example/torch.whl --hash=sha256:{'0' * 64}\n"


def _torch(given: str) -> "subprocess.CompletedProcess[str]":
    program = ROOT / "deploy/bin/torch-requirement"
    return subprocess.run([program, given], capture_output=True, text=True, check=False)  # noqa: S603
