"""Code that comes with weights runs only if the spec says so and pins the commit."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.settings import SettingsError
from deployments.sources import acquire
from tests.sources.conftest import HUB, spec
from tests.sources.fakes import COMMIT, FakeHub, RecordingEvents

PINNED = HUB | {"revision": COMMIT}
CODE = """
from pathlib import Path
from transformers import LlamaForCausalLM

Path({mark!r}).touch()

class TheirModel(LlamaForCausalLM):
    pass
"""


@pytest.fixture
def mark(hub: FakeHub, tmp_path: Path) -> Path:
    """The path of a file that the code of the hub's model makes when it runs."""
    mark = tmp_path / "mark"
    (hub.folder / "modeling_theirs.py").write_text(CODE.format(mark=str(mark)))
    config = json.loads((hub.folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_theirs.TheirModel"}
    (hub.folder / "config.json").write_text(json.dumps(config))
    return mark


def test_code_is_fetched_and_run_where_the_spec_trusts_it(hub: FakeHub, cache: Path, mark: Path) -> None:
    loaded = acquire(spec(PINNED, trust_remote_code=True), cache, "auto", events=RecordingEvents())

    assert (type(loaded.model).__name__, mark.exists()) == ("TheirModel", True)
    assert not (cache / "snapshots").exists(), "a snapshot cannot hold code"


def test_code_is_neither_fetched_nor_run_where_it_does_not(hub: FakeHub, cache: Path, mark: Path) -> None:
    loaded = acquire(spec(PINNED), cache, "auto", events=RecordingEvents())

    assert (type(loaded.model).__name__, mark.exists()) == ("LlamaForCausalLM", False)
    assert "modeling_theirs.py" not in hub.downloads()


@pytest.mark.parametrize(
    "source", [HUB, HUB | {"revision": "v1"}, HUB | {"revision": COMMIT[:12]}, {"kind": "path", "path": "weights"}]
)
def test_trust_without_a_commit_is_refused(source: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"sources\.1: is not pinned"):
        spec(PINNED, source, trust_remote_code=True)


def test_a_replica_that_runs_such_code_gets_no_credentials() -> None:
    assert spec(PINNED, trust_remote_code=True).untrusted
    assert not spec(PINNED).untrusted
