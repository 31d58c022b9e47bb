"""What a server is started with, what it has written, and how long it is silent: as values."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.policy.reason import MAX_REASON_CHARACTERS
from deployments.servers.commands import build_command, prefill_of
from deployments.servers.environment import secrets_of, server_environment
from deployments.servers.output import KEPT_LINES, MAX_FILE_BYTES, MAX_LINE_CHARACTERS, ServerOutput
from deployments.servers.watch import SilenceWatch
from deployments.settings import ServerSpec, root
from tests.clock import FakeClock
from tests.servers.standin import a_spec

OURS = {
    "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), "/usr/bin"]),
    "HOME": "/home/me",
    "PYTHONPATH": "/ours",
    "VIRTUAL_ENV": "/ours",
    "OMP_NUM_THREADS": "1",
    "RAY_JOB_ID": "1",
    "NEVERBLANK_MODELS": "/models",
    "OPENAI_API_KEY": "secret",
    "HF_TOKEN": "of the hub",
    "CUDA_VISIBLE_DEVICES": "2,3",
}


def known(engine: str, **more: Any) -> ServerSpec:
    fields = {"format": "server", "id": "m", "engine": engine, "model": "org/big", **more}
    if engine != "llama.cpp":
        fields.setdefault("python", "envs/it/bin/python")
    return ServerSpec.model_validate(fields)


def test_a_server_gets_the_variables_of_the_machine_and_of_its_gpus_and_none_of_ours() -> None:
    assert server_environment(a_spec(python="python3"), OURS) == {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "CUDA_VISIBLE_DEVICES": "2,3",
    }


def test_a_server_gets_what_its_spec_gives_and_passes_and_its_own_programs_first() -> None:
    spec = known("vllm", env={"OMP_NUM_THREADS": "8"}, pass_env=["HF_TOKEN", "NOT_SET"])
    environment = server_environment(spec, OURS)

    assert environment["OMP_NUM_THREADS"] == "8"
    assert environment["HF_TOKEN"] == OURS["HF_TOKEN"]
    assert "NOT_SET" not in environment
    assert environment["PATH"].split(os.pathsep) == [str(root() / "envs/it/bin"), "/usr/bin"]


@pytest.mark.parametrize(
    ("engine", "num_gpus", "shown", "said"),
    [
        ("vllm", 2, "0,1", ["--tensor-parallel-size", "2"]),
        ("vllm", 0.5, "0", ["--gpu-memory-utilization", "0.45"]),
        ("vllm", 1, "0", []),
        ("vllm", 1, "", []),
        ("sglang", 4, "0,1,2,3", ["--tp-size", "4"]),
        ("sglang", 0.25, "0", ["--mem-fraction-static", "0.225"]),
        ("llama.cpp", 2, "0,1", []),
    ],
)
def test_the_gpus_of_a_replica_are_told_in_the_words_of_its_server(
    engine: str, num_gpus: float, shown: str, said: list[str]
) -> None:
    spec = known(engine, num_gpus=num_gpus, arguments=["--more"])
    command = build_command(spec, 4321, {"CUDA_VISIBLE_DEVICES": shown})

    assert command[0] == ("llama-server" if engine == "llama.cpp" else str(root() / "envs/it/bin/python"))
    assert command[command.index("--port") :] == ["--port", "4321", *said, "--more"]
    assert "org/big" in command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "m" in command


def test_a_command_of_ones_own_has_its_blanks_filled_and_other_braces_stay() -> None:
    spec = a_spec(command=("serve", '{"port": {port}, "n": {}}', "{name}/{model}/{gpus}"), model="x", python=None)

    assert build_command(spec, 5, {}) == ["serve", '{"port": 5, "n": {}}', "healthy/x/0"]


def test_known_servers_are_asked_to_go_on_in_their_own_way() -> None:
    assert prefill_of(known("vllm")) == "continue"
    assert prefill_of(known("vllm", prefill="never")) == "never"
    assert prefill_of(known("llama.cpp")) == prefill_of(a_spec()) == "assistant"


def written(data: bytes, folder: Path, secrets: tuple[str, ...] = ()) -> ServerOutput:
    read, write = os.pipe()
    output = ServerOutput(os.fdopen(read, "rb"), folder, "m", secrets)
    with os.fdopen(write, "wb") as file:
        file.write(data)
    output.join(30.0)
    return output


def test_last_words_are_those_that_name_a_fault_in_the_bounds_of_a_reason(tmp_path: Path) -> None:
    data = b"loading\n\x1b[31mValueError: too little memory\x1b[0m\n10%\r20%\rshutting down\n" + b"fatal: x" * 500
    words = written(data, tmp_path).last_words()

    assert len(words) <= MAX_REASON_CHARACTERS
    assert "fatal: x" in words
    assert written(b"ValueError: too little memory\nshutting down\n", tmp_path).last_words() == (
        "ValueError: too little memory"
    )
    assert written(b"one\ntwo\n", tmp_path).last_words() == "one | two"


def test_last_words_are_the_fault_where_a_process_is_named_before_the_page_that_explains_it(tmp_path: Path) -> None:
    data = (
        b"(APIServer pid=7) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        b"(APIServer pid=7)   Value error, User-specified max_model_len (999999) is greater than 8192.%s\n"
        b"(APIServer pid=7)     For further information visit https://errors.pydantic.dev/2.14/v/value_error\n"
    )
    words = written(data % (b" To allow it, set a variable." * 60), tmp_path).last_words()

    assert words.startswith("(APIServer pid=7)   Value error, User-specified max_model_len (999999) is greater")
    assert "visit" not in words


def test_lines_are_kept_in_bounds_in_a_file_of_their_user_without_secrets(tmp_path: Path) -> None:
    output = written(b"the key is hunter22\n" + b"x" * 100_000 + b"\n" * 3, tmp_path, ("hunter22",))

    assert output.path is not None
    assert output.path.stat().st_mode & 0o777 == 0o600
    first, *rest = output.path.read_text().splitlines()
    assert first == "the key is [redacted]"
    assert max(map(len, rest)) == MAX_LINE_CHARACTERS


def test_the_file_of_the_lines_has_a_bound_and_the_last_lines_are_in_it(tmp_path: Path) -> None:
    line = b"y" * 999 + b"\n"
    output = written(line * (MAX_FILE_BYTES // 1000 + 100) + b"the end\n", tmp_path)

    assert output.path is not None
    assert output.path.stat().st_size < MAX_FILE_BYTES / 2
    assert output.path.read_text().endswith("the end\n")
    assert len(output._lines) == KEPT_LINES
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * MAX_FILE_BYTES


def test_a_folder_that_cannot_be_written_to_costs_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    output = written(b"hello\n", tmp_path / "file")

    assert output.path is None
    assert output.last_line == "hello"


def test_the_secrets_of_a_server_are_told_by_the_names_that_hold_credentials_everywhere() -> None:
    given = {
        "MY_API_KEY": "in-the-spec",
        "TLS_KEY": "first line\nsecond line",
        "MAX_TOKENS": "8192",
        "HF_HOME": "/models",
        "OMP_NUM_THREADS": "eight",
    }
    spec = known("vllm", env=given, pass_env=["SITE"], arguments=["--api-key", "in-a-word", "--hf-token=in-another"])
    environment = server_environment(spec, OURS | {"SITE": "passed on", "https_proxy": "http://me:of-a-proxy@proxy:1"})

    secrets = secrets_of(spec, environment, [*build_command(spec, 1, {}), "--max-num-batched-tokens", "4096"])

    assert set(secrets) == {
        *("in-the-spec", "first line", "second line", "passed on", "in-a-word", "in-another", "of-a-proxy"),
    }


def test_each_value_of_an_option_and_passwords_by_their_usual_names_are_secrets() -> None:
    given = {"PGPASSWORD": "a", "MYSQL_PWD": "b", "GITHUB_PAT": "c", "API_KEY": "123456789", "PWD": "/home"}
    spec = known("vllm", env=given)
    command = ["serve", "--api-key", "k1", "k2", "--port", "1", "--api-key", "k3", "--max-batched-tokens", "4096"]

    secrets = secrets_of(spec, given | {"PIP": "https://a-token-of-twenty-letters@host"}, command)

    assert set(secrets) == {"a", "b", "c", "123456789", "k1", "k2", "k3", "a-token-of-twenty-letters"}


def test_a_secret_in_a_line_that_comes_in_two_reads_is_hidden(tmp_path: Path) -> None:
    output = written(b"x" * (1 << 16) + b"hunt" + b"er22\n", tmp_path, ("hunter22",))

    assert output.path is not None
    assert "hunt" not in output.path.read_text()
    assert "hunt" not in output.last_line


def test_no_part_of_a_secret_is_left_where_a_long_line_is_cut(tmp_path: Path) -> None:
    output = written(b"x" * (MAX_LINE_CHARACTERS - 4) + b"hunter22\n", tmp_path, ("hunter22",))

    assert "hunt" not in output.last_line


def test_silence_is_what_callers_have_waited_in_sum_since_the_last_sign() -> None:
    clock = FakeClock()
    watch = SilenceWatch(clock)
    for _ in range(3):
        with watch.waiting(), watch.waiting():
            clock.now += 2.0
        clock.now += 100.0  # nobody waits
    assert watch.silent_s() == 6.0
    with watch.waiting():
        clock.now += 1.0
        assert watch.silent_s() == 7.0
        watch.sign()
        clock.now += 0.5
        assert watch.silent_s() == 0.5
