"""`InferenceEngine` on the running service, and with nothing running before it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import ray
import yaml

from deployments import InferenceEngine
from deployments.policy.problem import InvalidRequestError
from tests.service.models import WORDS
from tests.service.service import ROOT, unmeasured


@pytest.fixture
def engine(cluster: None) -> InferenceEngine:
    """An engine in a process that is connected to the service's cluster."""
    return InferenceEngine()


async def test_an_unknown_model_is_answered_by_the_backup(engine: InferenceEngine) -> None:
    result = await engine.run_inference("my_model", {"text": "Hello", "max_tokens": 8})

    assert len(result["result"]) > 0
    assert (result["served_by"], result["attempts"][0]["reason"]) == ("backup", "unknown model")


async def test_without_a_model_the_default_answers(engine: InferenceEngine) -> None:
    result = await engine.execute_inference({"query": "Hello", "max_tokens": 8})

    assert (result["served_by"], result["model"]) == ("primary", "smollm2")


async def test_the_backup_can_be_asked_alone(engine: InferenceEngine) -> None:
    assert (await engine._load_backup_model())["state"] == "ready"

    result = await engine._run_backup_inference({"message": "Hello", "max_tokens": 8})

    assert (result["served_by"], result["degraded"]) == ("backup", False)


async def test_bad_content_is_explained_and_never_raised(engine: InferenceEngine) -> None:
    for bad in ({"text": 5}, {"text": ""}, {}, {"text": "Hello", "timeout": float("nan")}, {"text": object()}):
        result = await engine.execute_inference(bad)

        assert result["error"]["accepted"]
        assert result["result"].strip()


async def test_the_engine_answers_when_the_router_cannot_be_reached() -> None:
    engine = InferenceEngine(config="no/such/serve_config.yaml")
    engine._handle = object()  # a connection that is no good any more

    result = await engine.execute_inference({"text": "Hello"})

    assert (result["served_by"], result["degraded"]) == ("last_resort", True)
    assert result["result"].strip()


async def test_closing_an_engine_leaves_a_connection_that_was_there_before_it(engine: InferenceEngine) -> None:
    await engine.status()
    engine.close()

    assert ray.is_initialized()


def test_the_text_is_the_first_key_that_is_not_blank() -> None:
    assert InferenceEngine._extract_text_input({"message": "last", "text": " ", "query": "third"}) == "third"
    with pytest.raises(InvalidRequestError):
        InferenceEngine._extract_text_input({"other": "Hello"})


def test_a_plain_script_gets_its_answers_with_nothing_started_before_it() -> None:
    with tempfile.TemporaryDirectory(prefix="nb-", dir="/tmp") as session:
        environment = unmeasured() | {"RAY_TMPDIR": session}
        script = subprocess.run(  # noqa: S603 - our own example
            [sys.executable, ROOT / "examples" / "engine.py"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    assert script.returncode == 0, script.stderr[-3000:]
    first, second = [line for line in script.stdout.splitlines() if " - " in line]
    assert first.startswith("backup - ")
    assert second.startswith(("primary - ", "backup - ")), "the default model may still be loading"


def test_a_service_whose_backup_cannot_be_loaded_is_there_and_answers(tmp_path: Path) -> None:
    (tmp_path / "backup.yaml").write_text("sources: [{kind: path, path: nowhere}]\n")
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["applications"] = config["applications"][:1]
    config["applications"][0]["args"]["backup"] = str(tmp_path / "backup.yaml")
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(config))
    script = f"""
import asyncio
import ray
from deployments import InferenceEngine
ray.init(address="local", namespace="serve", log_to_driver=False)  # a cluster of its own, whatever else runs
engine = InferenceEngine(config={str(tmp_path / "serve.yaml")!r})
answer = asyncio.run(engine.execute_inference({{"text": "Hello"}}, "nobody"))
print(answer["served_by"], "|", answer["attempts"][-1]["reason"])
engine.close()
"""
    with tempfile.TemporaryDirectory(prefix="nb-", dir="/tmp") as session:
        environment = unmeasured() | {"RAY_TMPDIR": session}
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("last_resort | ")
    assert "NoSourceError" in done.stdout


async def test_a_stream_gives_its_pieces_and_the_whole_answer(engine: InferenceEngine) -> None:
    *pieces, answer = [item async for item in engine.stream_inference({"text": "Hello"}, "narrator")]

    assert len(pieces) > 10
    assert answer["result"] == "".join(piece["text"] for piece in pieces) == "".join(WORDS)
    assert (answer["served_by"], answer["degraded"]) == ("primary", False)


async def test_a_stream_that_breaks_is_carried_on_by_the_backup(engine: InferenceEngine) -> None:
    request = {"text": "Hello", "fault": "raise", "max_tokens": 6}

    *pieces, answer = [item async for item in engine.stream_inference(request, "narrator")]

    assert {piece["served_by"] for piece in pieces} == {"primary", "backup"}
    assert answer["result"] == "".join(piece["text"] for piece in pieces)


async def test_a_bad_request_for_a_stream_is_explained_and_never_raised(engine: InferenceEngine) -> None:
    (explained,) = [item async for item in engine.stream_inference({"text": 5})]

    assert explained["error"]["field"] == "text"


async def test_a_stream_answers_when_the_router_cannot_be_reached() -> None:
    engine = InferenceEngine(config="no/such/serve_config.yaml")
    engine._handle = object()

    piece, answer = [item async for item in engine.stream_inference({"text": "Hello"})]

    assert piece["text"] == answer["result"]
    assert answer["served_by"] == "last_resort"
