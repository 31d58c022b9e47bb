"""The real vLLM as a child process, in an environment of its own.

`make test-vllm` makes one with the build for CPUs. `make test-gpu` takes one that is there, on a machine with a GPU.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from deployments.policy.outcome import Answered, Finished, Outcome, Refused
from deployments.request import InferenceRequest
from deployments.request.body import Limits
from deployments.request.openai import chat_request
from deployments.servers.model import ServerModel
from deployments.servers.supervision import ServerStartError, ServerSupervisor
from deployments.settings import ServerSpec, root
from tests.clock import until
from tests.fakes import read_stream, read_whole

ENVIRONMENT = Path(os.environ.get("NEVERBLANK_TEST_VLLM", root() / "cache/vllm"))
DEVICE: Literal["cpu", "cuda"] = "cuda" if os.environ.get("NEVERBLANK_TEST_VLLM_DEVICE") == "cuda" else "cpu"
BUDGET_S = 240.0
START_S = 600.0
# A small model may write nothing but white space where a grammar allows it. vLLM wants the backend named for that.
_NO_WHITESPACE = '{"backend": "xgrammar", "disable_any_whitespace": true}'
_OF_THE_DEVICE = {
    "cpu": ("--dtype", "float32", "--max-model-len", "512"),
    "cuda": ("--dtype", "bfloat16", "--max-model-len", "2048", "--gpu-memory-utilization", "0.3"),
}
ARGUMENTS = (*_OF_THE_DEVICE[DEVICE], "--enforce-eager", "--structured-outputs-config", _NO_WHITESPACE)
_ENV = {
    "cpu": {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
    "cuda": {"VLLM_NO_USAGE_STATS": "1"},
}
LIMITS = Limits(max_bytes=1 << 20, timeout_s=300.0, max_timeout_s=300.0)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,  # without it vLLM 0.32 writes any JSON for arguments
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """What `make test-vllm` and `make soak` make; without it nothing here would be shown."""
    assert (ENVIRONMENT / "bin/python").exists(), f"no vLLM in {ENVIRONMENT}: see `make help`"


def a_spec(model: Path, *arguments: str, **more: Any) -> ServerSpec:
    fields = {
        "format": "server",
        "id": "smollm2-vllm",
        "engine": "vllm",
        "model": str(model),
        "python": str(ENVIRONMENT / "bin/python"),
        "arguments": (*ARGUMENTS, *arguments),
        "env": _ENV[DEVICE],
        "stall_seconds": 120,
        "load_timeout_seconds": START_S,
        "device": DEVICE,
        **more,
    }
    return ServerSpec.model_validate(fields)


def chat(content: str, **more: Any) -> InferenceRequest:
    body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 24, **more}
    return chat_request(json.dumps(body).encode(), LIMITS).requests[0]


@pytest.fixture(scope="module")
def supervisor(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSupervisor]:
    running = ServerSupervisor(
        a_spec(folder, "--enable-auto-tool-choice", "--tool-call-parser", "hermes"), tmp_path_factory.mktemp("cache")
    )
    began = time.monotonic()
    running.start()
    print(f"\nstarted after {time.monotonic() - began:.1f} s")  # noqa: T201 - a soak's report
    yield running
    running.close()


@pytest.fixture
async def model(folder: Path, supervisor: ServerSupervisor) -> AsyncIterator[ServerModel]:
    served = ServerModel(a_spec(folder), supervisor)
    yield served
    await served.aclose()


async def timed(name: str, model: ServerModel, request: InferenceRequest) -> Outcome:
    began = time.monotonic()
    outcome = await read_whole(model, request, BUDGET_S)
    print(f"{name}: {time.monotonic() - began:.1f} s: {outcome}")  # noqa: T201 - a soak's report
    return outcome


async def test_it_answers_a_chat_whole_and_streamed(model: ServerModel) -> None:
    question = chat("What is the capital of France?")
    whole = await timed("whole", model, question)
    *texts, end = await read_stream(model, question, BUDGET_S)

    assert isinstance(whole, Answered)
    assert "Paris" in whole.result
    assert whole.usage is not None
    assert isinstance(end, Finished)
    assert "".join(text for text in texts if isinstance(text, str)) == whole.result
    assert len(texts) > 2


async def test_it_is_held_to_a_schema(model: ServerModel) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answered = await timed("json", model, chat("What is the capital of France?", response_format=form))

    assert isinstance(answered, Answered)
    assert json.loads(answered.result)["city"] in {"Paris", "Rome"}


async def test_it_calls_a_tool_that_is_demanded(model: ServerModel) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    answered = await timed(
        "tool", model, chat("The weather in Paris?", tools=[TOOL], tool_choice=choice, max_tokens=64)
    )

    assert isinstance(answered, Answered)
    (call,) = answered.tool_calls
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"])["city"] in {"Paris", "Rome"}


async def test_it_continues_a_text_that_has_begun(model: ServerModel) -> None:
    from msgspec.structs import replace

    begun = replace(chat("What is the capital of France?"), prefix="The capital of France is")
    answered = await timed("continued", model, begun)

    assert isinstance(answered, Answered)
    assert answered.result.lstrip().startswith("Paris")


async def test_what_it_has_started_ends_with_it_and_it_is_started_again(
    model: ServerModel, supervisor: ServerSupervisor
) -> None:
    assert supervisor.running is not None
    family = psutil.Process(supervisor.running.process.pid).children(recursive=True)
    assert len(family) > 2, "the guard, the API server, and its engine"
    psutil.Process(family[1].pid).kill()
    await until(lambda: supervisor.running is None)
    refused = await read_whole(model, chat("Hello"), 10.0)
    began = time.monotonic()
    while supervisor.running is None:
        assert time.monotonic() - began < START_S
        time.sleep(1)  # noqa: ASYNC251

    assert isinstance(refused, Refused)
    assert not [each for each in family if each.is_running()]
    assert isinstance(await timed("again", model, chat("What is the capital of France?")), Answered)


def test_an_argument_that_it_does_not_know_is_the_reason(folder: Path, tmp_path: Path) -> None:
    supervisor = ServerSupervisor(a_spec(folder, "--no-such-argument"), tmp_path)

    with pytest.raises(ServerStartError, match=r"exit status 2: .*no-such-argument"):
        supervisor.start()


def test_a_fault_of_the_engine_is_the_reason(folder: Path, tmp_path: Path) -> None:
    supervisor = ServerSupervisor(a_spec(folder, "--max-model-len", "999999"), tmp_path)

    with pytest.raises(ServerStartError, match="max_model_len") as raised:
        supervisor.start()
    print(raised.value)  # noqa: T201 - a soak's report
