"""The command lines of servers: those of the known ones, with the blanks of a spec filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deployments.servers.environment import gpus_of, program_path
from deployments.settings.server_specs import ServerSpec

Prefill = Literal["assistant", "continue", "never"]

USED_OF_A_GPU = 0.9
"""The share of its part of a GPU that a server takes: the rest is for what it needs beside weights and cache."""


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server whose command line is known here.

    Attributes:
        command: what is always said.
        on_several: what is said beside it where the replica has several GPUs.
        on_a_part: what is said beside it where the replica has a part of a GPU.
        prefill: how it is told to carry on with a text; see `RemoteSpec.prefill`.
    """

    command: tuple[str, ...]
    on_several: tuple[str, ...] = ()
    on_a_part: tuple[str, ...] = ()
    prefill: Prefill = "assistant"


_HERE = ("--host", "127.0.0.1", "--port", "{port}")

KNOWN_SERVERS: Mapping[str, KnownServer] = {
    # By its module, which all versions have: `vllm serve` does not start where the package has another name than vllm,
    # as the build for CPUs has.
    "vllm": KnownServer(
        (
            *(
                "{python}",
                "-m",
                "vllm.entrypoints.openai.api_server",
                "--model",
                "{model}",
                "--served-model-name",
                "{name}",
            ),
            *("--disable-uvicorn-access-log", *_HERE),
        ),
        on_several=("--tensor-parallel-size", "{gpus}"),
        on_a_part=("--gpu-memory-utilization", "{gpu_share}"),
        prefill="continue",
    ),
    "sglang": KnownServer(
        ("{python}", "-m", "sglang.launch_server", "--model-path", "{model}", "--served-model-name", "{name}", *_HERE),
        on_several=("--tp-size", "{gpus}"),
        on_a_part=("--mem-fraction-static", "{gpu_share}"),
        prefill="continue",
    ),
    # It spreads a model over all GPUs that it sees, and takes of each what the model needs.
    "llama.cpp": KnownServer(("{program}", "--model", "{model}", "--alias", "{name}", "--jinja", *_HERE)),
}


def build_command(spec: ServerSpec, port: int, environment: Mapping[str, str]) -> list[str]:
    """Return the command line of the server of `spec`, which is to listen on `port` of loopback.

    Args:
        spec: the server.
        port: a port.
        environment: the variables that it gets, which say how many GPUs it has.
    """
    gpus = gpus_of(environment)
    words = list(spec.command)
    if (known := KNOWN_SERVERS.get(spec.engine)) is not None:
        words += known.command
        if gpus > 1:
            words += known.on_several
        if gpus and spec.num_gpus < 1:
            words += known.on_a_part
    blanks = {
        "{port}": str(port),
        "{model}": spec.model or "",
        "{name}": spec.model_name,
        "{python}": program_path(spec.python) if spec.python else "",
        "{program}": program_path(spec.program),
        "{gpus}": str(gpus),
        "{gpu_share}": f"{min(1.0, spec.num_gpus) * USED_OF_A_GPU:.3g}",
    }
    return [_filled(word, blanks) for word in (*words, *spec.arguments)]


def prefill_of(spec: ServerSpec) -> Prefill:
    """Return how the server of `spec` is told to carry on with a text."""
    if spec.prefill != "auto":
        return spec.prefill
    known = KNOWN_SERVERS.get(spec.engine)
    return known.prefill if known is not None else "assistant"


def _filled(word: str, blanks: Mapping[str, str]) -> str:
    """Return `word` with its blanks filled in; other braces, as those of JSON, stay."""
    for blank, value in blanks.items():
        word = word.replace(blank, value)
    return word
