"""Models behind an inference server that their replicas run as a child process: vLLM, SGLang, llama.cpp, any other."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from deployments.settings.base import ModelId, NonEmpty, Seconds
from deployments.settings.remotes import SECRET, RequestKind, VariableName
from deployments.settings.serving import ModelServingSpec

UrlPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._~/-]{0,200}$")]

_NAMED = "The words `{port}`, `{model}`, `{name}`, `{python}`, `{gpus}` and `{gpu_share}` are filled in."
_PYTHON_ENGINES = frozenset({"vllm", "sglang"})


class ServerSpec(ModelServingSpec):
    """`format: server`: an OpenAI-compatible server that each replica runs as its own child process."""

    format: Literal["server"]
    id: ModelId = Field(description="The model's name, and its Serve application's.")
    engine: Literal["vllm", "sglang", "llama.cpp", "command"] = Field(
        description="What is run: one of three known servers, or the `command`."
    )
    model: NonEmpty | None = Field(
        None, description="What the server loads, in its own words: a folder, a file, a repository on a hub."
    )
    python: NonEmpty | None = Field(
        None,
        description="The Python of the environment that the server is installed in, which is not ours. A relative path "
        "starts from the project's root; a bare name is looked up in `PATH`.",
    )
    program: NonEmpty = Field("llama-server", description="The program of `engine: llama.cpp`; as for `python`.")
    command: tuple[NonEmpty, ...] = Field(
        (), max_length=256, description=f"Of `engine: command`: the program and its arguments. {_NAMED}"
    )
    arguments: tuple[str, ...] = Field(
        (), max_length=256, description=f"Further arguments, behind those of the `engine`. {_NAMED}"
    )
    env: dict[VariableName, str] = Field(
        default_factory=dict,
        description="Variables of its environment, which else has those of the machine alone.",
        json_schema_extra=SECRET,
    )
    pass_env: tuple[VariableName, ...] = Field(
        (), description="Variables of the replica's environment that it gets, too, such as `HF_TOKEN`."
    )
    completions: bool = Field(
        True, description="Text completions reach its own `completions`, as they were sent; `false` where it has none."
    )
    health: UrlPath = Field("/health", description="It is ready, and well, while this path answers 200.")
    api: UrlPath = Field("/v1", description="Where its API begins.")
    served_name: NonEmpty | None = Field(
        None, description="What it calls the model; by default the `id`, which the known servers are told."
    )
    prefill: Literal["auto", "assistant", "continue", "never"] = Field(
        "auto", description="As of a remote model; `auto` knows it of the known servers."
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What it calls the longest answer in tokens."
    )
    max_ongoing_requests: int = Field(64, ge=1, description="Requests one replica works on at a time.")
    load_timeout_seconds: Seconds = Field(1800.0, description="A start that takes longer counts as failed.")
    stall_seconds: Seconds = Field(
        60.0,
        description="A server that has given no sign of life for so long, though it was asked, is started again.",
    )

    @property
    def model_name(self) -> str:
        """What the server calls the model."""
        return self.served_name or self.id

    @property
    def passes_on(self) -> tuple[RequestKind, ...]:
        """The kinds of requests that reach it as they were sent."""
        return ("chat", "text") if self.completions else ("chat",)

    @model_validator(mode="after")
    def _one_way_to_run_it(self) -> Self:
        words = self.command + self.arguments
        if self.engine == "command":
            if not any("{port}" in word for word in words):
                raise ValueError("command: names no {port}; accepted: a command that is told the port to listen on")
        elif self.command:
            raise ValueError(f"command: goes with engine: command, not {self.engine}; accepted: arguments")
        if self.engine != "llama.cpp" and "program" in self.model_fields_set:
            raise ValueError(f"program: goes with engine: llama.cpp, not {self.engine}; accepted: python, or command")
        needs_python = self.engine in _PYTHON_ENGINES or any("{python}" in word for word in words)
        if needs_python and self.python is None:
            raise ValueError("python: is missing; accepted: the Python of the environment with the server")
        needs_model = self.engine != "command" or any("{model}" in word for word in words)
        if needs_model and self.model is None:
            raise ValueError("model: is missing; accepted: a folder, a file or a repository, as the server takes it")
        return self

    @model_validator(mode="after")
    def _writes_texts(self) -> Self:
        if self.space:
            raise ValueError("space: is set; accepted: nothing, as a server is asked for texts, never for vectors")
        return self

    @model_validator(mode="after")
    def _not_in_a_pool(self) -> Self:
        if self.multiplexed:
            raise ValueError("multiplexed: is true; accepted: false, as a server has a process and GPUs of its own")
        return self
