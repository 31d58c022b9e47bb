"""A hub that answers is used; one that does not is given up in time."""

import socket
import time
from pathlib import Path

import pytest

from deployments.sources import NoSourceError, acquire
from deployments.sources import hub as hub_module
from tests.sources import tiny
from tests.sources.conftest import HUB, spec, use_hub
from tests.sources.fakes import COMMIT, FakeHub, RecordingEvents


def _refused(cache: Path, **settings: float) -> tuple[str, float]:
    began = time.monotonic()
    with pytest.raises(NoSourceError) as raised:
        acquire(spec(HUB, **settings), cache, "auto", events=RecordingEvents())
    return str(raised.value), time.monotonic() - began


def test_only_what_is_needed_is_downloaded(hub: FakeHub, cache: Path) -> None:
    (hub.folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (hub.folder / "model.fp16.safetensors").write_bytes(b"a variant")
    (hub.folder / "onnx").mkdir()
    (hub.folder / "onnx" / "config.json").write_text("{}", encoding="utf-8")
    loaded = acquire(spec(HUB), cache, "auto", events=RecordingEvents())
    assert set(hub.downloads()) == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert not [path for path in hub.requests if "onnx" in path]
    assert loaded.revision == COMMIT


def test_a_hub_that_hangs_is_given_up_within_its_time(hub: FakeHub, cache: Path) -> None:
    hub.answering.clear()
    reason, took = _refused(cache, hub_timeout_seconds=0.5)
    assert "has not answered within 0.5 s" in reason
    assert took < 2


def test_a_name_look_up_that_hangs_is_given_up_within_its_time(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[bool] = []

    def hang(*_: object, **__: object) -> list[object]:
        while not released:
            time.sleep(0.05)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        reason, took = _refused(cache, hub_timeout_seconds=0.5)
    finally:
        released.append(True)
    assert "has not answered within 0.5 s" in reason
    assert took < 2


def test_a_hub_that_cannot_be_reached_is_a_failure_without_its_address(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        use_hub(f"http://me:secret@127.0.0.1:{unused.getsockname()[1]}", tmp_path, monkeypatch)
        reason, took = _refused(cache, hub_timeout_seconds=5)
    assert "hub some/tiny@main: the hub " in reason
    assert "secret" not in reason
    assert took < 6


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_hub_that_refuses_is_a_failure_with_its_status(hub: FakeHub, cache: Path, status: int) -> None:
    hub.status = status
    reason, _ = _refused(cache, hub_timeout_seconds=2)
    assert str(status) in reason or "has not answered" in reason


def test_the_librarys_own_copy_is_refused_when_it_is_over_the_limit(hub: FakeHub, cache: Path) -> None:
    wide = tiny.model()
    wide.resize_token_embeddings(12_000)
    wide.save_pretrained(hub.folder)
    acquire(spec(HUB, snapshot=False), cache, "auto", events=RecordingEvents())
    hub.status = 404
    assert "over the limit of 1,000,000" in _refused(cache, max_model_size_mb=1)[0]


def test_a_download_larger_than_announced_is_refused_before_it_is_read(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (hub.folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(hub_module, "weight_size", lambda _: size + 1_000_000)
    assert "over the limit of 1,000,000" in _refused(cache, max_model_size_mb=1)[0]


def test_offline_only_the_librarys_cache_is_used(
    hub: FakeHub, cache: Path, recorded: RecordingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    with monkeypatch.context() as patched:
        patched.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE" in _refused(cache)[0]
        assert hub.requests == []
    acquire(spec(HUB, snapshot=False), cache, "auto", events=RecordingEvents())
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    loaded = acquire(spec(HUB), cache, "auto", events=recorded)
    assert (loaded.revision, hub.requests) == (COMMIT, [])


def test_the_librarys_copy_is_used_when_the_hub_cannot_be_asked(hub: FakeHub, cache: Path) -> None:
    acquire(spec(HUB, snapshot=False), cache, "auto", events=RecordingEvents())
    hub.answering.clear()
    loaded = acquire(spec(HUB, hub_timeout_seconds=0.5), cache, "auto", events=RecordingEvents())
    assert loaded.revision == COMMIT
