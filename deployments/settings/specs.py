"""Specs of models: `configs/models/<id>.yaml` and `configs/backup.yaml`."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from deployments.settings.base import WITH_SPACES, ModelId, NonEmpty, Seconds, Settings
from deployments.settings.embedding import EmbeddingSettings
from deployments.settings.errors import SettingsError
from deployments.settings.file_specs import FileSpec, PickleSpec, PyTorchSpec, Target
from deployments.settings.files import load
from deployments.settings.server_specs import ServerSpec
from deployments.settings.serving import ModelServingSpec, Replicas, ServingSpec
from deployments.settings.sources import HubSource, Source

SIZE_VARIABLE = "MAX_MODEL_SIZE_MB"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class WeightLimit(Settings):
    """The largest weights that a model may have; larger ones are refused before they are read."""

    max_megabytes: int = Field(1000, ge=1)

    @property
    def max_bytes(self) -> int:
        """The same in bytes."""
        return self.max_megabytes * 1_000_000

    @classmethod
    def of(cls, spec: "TextModelSpec | FileSpec", environment: Mapping[str, str] = os.environ) -> "WeightLimit":
        """The limit that holds for `spec`: `MAX_MODEL_SIZE_MB` where it is set, else the spec's own."""
        text = environment.get(SIZE_VARIABLE)
        if text is None:
            return cls(max_megabytes=spec.max_model_size_mb)
        if not text.isdecimal() or int(text) < 1:
            raise SettingsError("environment", SIZE_VARIABLE, f"is {text!r}", "a whole number of megabytes, 1 or more")
        return cls(max_megabytes=int(text))


class GenerationDefaults(Settings):
    """The defaults of requests."""

    max_tokens: int | None = Field(
        None, ge=1, description="Tokens in an answer; without it what the policy's `max_tokens_default` says."
    )
    max_tokens_limit: int = Field(2048, ge=1, description="The most a request gets, whatever it asks for.")
    temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="0 always takes the likeliest token; without it what the model recommends, else 1.",
    )

    @model_validator(mode="after")
    def _within_limit(self) -> Self:
        if self.max_tokens is not None and self.max_tokens > self.max_tokens_limit:
            raise ValueError(
                f"max_tokens: {self.max_tokens} is above max_tokens_limit ({self.max_tokens_limit}); "
                "accepted: at most that"
            )
        return self


class Speculation(Settings):
    """Writing several tokens a step where they can be guessed; the text stays the same."""

    prompt_lookup_tokens: int = Field(
        0,
        ge=0,
        le=16,
        description="Guess so many tokens from what followed the same tokens earlier, in the prompt or the answer; 0 "
        "guesses none. Of openvino only. It pays for few requests at a time that repeat much of their prompt; every "
        "step computes as many tokens more for each request, guessed rightly or not.",
    )
    max_ngram_size: int = Field(
        3,
        ge=1,
        le=16,
        description="The most tokens that must be the same before a guess; one is enough if not more are.",
    )


class TextModelSpec(ServingSpec):
    """A language model in transformers' format."""

    sources: tuple[Source, ...] = Field(min_length=1, description="Where its weights are, tried in this order.")
    snapshot: bool = Field(True, description="Keep what was loaded in `cache/snapshots/`, for a fast start.")
    chat: Literal["auto", "always", "never"] = Field(
        "auto", description="Use the tokenizer's chat template: `auto` where it has one."
    )
    tools: bool = Field(
        True,
        description=(
            "Offer it the tools of a request: through its chat template where that shows tools, else in words. "
            "With `false`, it is not asked where a tool may be called."
        ),
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="`auto`: the weights' own on a GPU; on a CPU bfloat16 where it is fast, else float32.",
    )
    engine: Literal["auto", "transformers", "openvino"] = Field(
        "auto", description="What writes: `auto` is openvino on a CPU where it is installed and reads such models."
    )
    threads: int = Field(0, ge=0, description="CPU threads for one replica; 0 leaves it to the engine.")
    concurrency: int = Field(
        2,
        ge=1,
        description=(
            "Requests transformers generates beside its batch (with `logprobs`) in one replica; "
            "three times as many wait."
        ),
    )
    long_prompt: Literal["refuse", "truncate"] = Field(
        "refuse",
        description="A prompt beyond the model's context: the next model, or its oldest part left out; "
        "`neverblank.dropped` then tells how many tokens.",
    )
    max_model_size_mb: int = Field(1000, ge=1, description=f"Larger weights are refused; `{SIZE_VARIABLE}` overrides.")
    hub_timeout_seconds: Seconds = Field(10.0, description="A hub that has not answered by then is given up.")
    generation: GenerationDefaults = GenerationDefaults()
    speculation: Speculation = Speculation()

    @model_validator(mode="after")
    def _openvino_on_a_cpu(self) -> Self:
        if self.speculation.prompt_lookup_tokens and self.engine == "transformers":
            raise ValueError("speculation.prompt_lookup_tokens does not go with engine: transformers; accepted: 0")
        if self.engine == "openvino" and self.device != "cpu":
            raise ValueError(f"engine: openvino does not go with device: {self.device}; accepted: device: cpu")
        return self

    @property
    def keeps_snapshot(self) -> bool:
        """Whether the loaded model is kept in a snapshot."""
        return self.snapshot

    @property
    def runs_code(self) -> bool:
        """Code that comes with the weights is run."""
        return False


class HuggingFaceSpec(TextModelSpec, ModelServingSpec):
    """`format: huggingface`: text generation and chat, or another task."""

    format: Literal["huggingface"]
    id: ModelId = Field(description="The model's name, and its Serve application's.")
    task: Literal[
        "text-generation",
        "text-classification",
        "token-classification",
        "fill-mask",
        "question-answering",
        "feature-extraction",
        "text-ranking",
        "text2text-generation",
    ] = Field("text-generation", description="What it does. Only text generation is kept in snapshots.")

    trust_remote_code: bool = Field(
        False, description="Run the code that comes with the weights; all sources are then hub's, with a commit."
    )

    embedding: EmbeddingSettings = EmbeddingSettings()

    @property
    def vector_space(self) -> str:
        """The vector space of its answers: `space`, or its own id for a model that makes vectors, or scores."""
        return self.space or (self.id if self.task in WITH_SPACES else "")

    @property
    def keeps_snapshot(self) -> bool:
        """A snapshot holds a model that writes, and no code; those of other tasks are small, and read as they are."""
        return self.snapshot and self.task == "text-generation" and not self.trust_remote_code

    @property
    def runs_code(self) -> bool:
        """Code that comes with the weights is run."""
        return self.trust_remote_code

    @property
    def untrusted(self) -> bool:
        """The code that comes with the weights finds no credentials."""
        return self.trust_remote_code

    @model_validator(mode="after")
    def _only_vectors_have_a_space(self) -> Self:
        if self.task not in WITH_SPACES:
            for key in ("space", "embedding"):
                if key in self.model_fields_set:
                    accepted = f"task: {' or '.join(WITH_SPACES)}"
                    raise ValueError(f"{key}: does not go with task: {self.task}; accepted: {accepted}")
        return self

    @model_validator(mode="after")
    def _code_is_pinned(self) -> Self:
        if self.trust_remote_code:
            for place, source in enumerate(self.sources):
                if not isinstance(source, HubSource) or not _COMMIT.fullmatch(source.revision):
                    raise ValueError(
                        f"sources.{place}: is not pinned, and its code would be trusted; accepted: kind: hub with a "
                        "commit of 40 hexadecimal digits as its revision"
                    )
        return self


class PythonSpec(ModelServingSpec):
    """`format: python`: a class of your own with `infer(inputs)`, sync or async."""

    format: Literal["python"]
    id: ModelId = Field(description="The model's name, and its Serve application's.")
    target: Target = Field(description="`module:Class`, importable on every node.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of its constructor.")


ModelSpec = Annotated[
    HuggingFaceSpec | PythonSpec | PickleSpec | PyTorchSpec | ServerSpec, Field(discriminator="format")
]


class BackupSpec(TextModelSpec):
    """The backup: a language model that answers when the requested one does not."""

    name: NonEmpty = Field("backup", description="What answers call it; the default is `backup`.")
    replicas: Replicas = Replicas(min=1, max=2)

    @model_validator(mode="after")
    def _always_there(self) -> Self:
        self.require_always_there()
        return self


class PoolSpec(ServingSpec):
    """A pool: many small models that share its replicas."""

    models: tuple[NonEmpty, ...] = Field(
        min_length=1, description="The files of their specs, each `multiplexed: true`."
    )
    models_per_replica: int = Field(3, ge=1, description="Models one replica holds; the least recently used goes.")

    @model_validator(mode="after")
    def _always_there(self) -> Self:
        self.require_always_there()
        return self


def read_model_spec(path: str) -> ModelSpec:
    """Read a model's spec. Raises `SettingsError` where it does not fit."""
    spec: ModelSpec = load(ModelSpec, path)
    return spec


def read_backup_spec(path: str) -> BackupSpec:
    """Read the backup's spec. Raises `SettingsError` where it does not fit."""
    spec: BackupSpec = load(BackupSpec, path)
    return spec


def read_pool_spec(path: str) -> tuple[PoolSpec, tuple[ModelSpec, ...]]:
    """Read a pool's file and the specs of its models. Raises `SettingsError` where one does not fit."""
    pool: PoolSpec = load(PoolSpec, path)
    members: dict[str, ModelSpec] = {}
    for file in pool.models:
        spec = read_model_spec(file)
        if not spec.multiplexed:
            raise SettingsError(file, "multiplexed", f"is false, and {path} lists it", "true, or an application of it")
        if spec.id in members:
            raise SettingsError(file, "id", f"is {spec.id!r}, like another one's in {path}", "an id of its own")
        members[spec.id] = spec
    return pool, tuple(members.values())
