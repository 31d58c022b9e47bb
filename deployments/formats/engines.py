"""The engine of a language model: which one is chosen, and how it is loaded.

    on a GPU                                              transformers
    on a CPU, openvino-genai installed, a family it reads openvino, from a GGUF file or from converted safetensors
    otherwise                                             transformers; a log line says why it is not openvino

openvino has a process of its own, and its replica imports neither torch nor transformers: it does not wait for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deployments.generation import CannotLoadError, Prompt, Sampling, TextGenerator
from deployments.generation.devices import Machine, choose_device, choose_dtype, configure_torch, may_have_gpu
from deployments.generation.process import ProcessGenerator
from deployments.generation.prompt_lookup import PromptLookup
from deployments.generation.worker import EngineConfig
from deployments.observability import log
from deployments.settings import TextModelSpec, WeightLimit
from deployments.sources import Events
from deployments.sources.checkpoint import LoadedModel
from deployments.sources.conversion import Unconverted, convert_weights
from deployments.sources.errors import ExportError, SourceError
from deployments.sources.gguf import NoGguf, find_gguf
from deployments.sources.gguf_metadata import recommended_sampling
from deployments.sources.gguf_q8 import prepare_gguf
from deployments.sources.gguf_writing import NotConvertibleError
from deployments.sources.openvino_ir import export_ir

_WARM_UP = Prompt("Hello"), Sampling(max_tokens=2, temperature=0.0, budget_s=60.0)


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """A generator that is ready.

    Attributes:
        generator: the generator, warmed up.
        weights: the name of its weights.
        recommended: the sampling that the model recommends, by the names of requests.
    """

    generator: TextGenerator
    weights: str
    recommended: Mapping[str, Any] = field(default_factory=dict)


def choose_engine(wanted: str, device: str, *, has_openvino: bool, gpu: bool) -> str:
    """`openvino` or `transformers`.

    Args:
        wanted: a spec's `engine`.
        device: its `device`.
        has_openvino: openvino-genai is installed.
        gpu: this process may have one.
    """
    if wanted == "auto":
        return "openvino" if has_openvino and (device == "cpu" or (device == "auto" and not gpu)) else "transformers"
    return wanted


def meant_engine(spec: TextModelSpec) -> str:
    """The engine for `spec` on this node, if it can take the weights."""
    return choose_engine(spec.engine, spec.device, has_openvino=_has_openvino(), gpu=may_have_gpu())


def _has_openvino() -> bool:
    return find_spec("openvino_genai") is not None


def load_engine(spec: TextModelSpec, cache: Path, name: str) -> LoadedEngine:
    """Load the weights of `spec` into the engine for them, and warm up.

    Args:
        spec: the model.
        cache: the cache's folder.
        name: what log lines call it.

    Raises:
        sources.NoSourceError: no source has them.
        RuntimeError: a GPU is demanded and there is none.
    """
    if meant_engine(spec) == "openvino":
        if not _has_openvino():
            log.engine_not_used(name, "openvino", "openvino-genai is not installed (accepted: the extra [cpu])")
        else:
            try:
                engine = _openvino(spec, cache, name)
            except (CannotLoadError, SourceError) as error:
                log.engine_not_used(name, "openvino", str(error))
            else:
                if isinstance(engine, LoadedEngine):
                    return engine
                log.engine_not_used(name, "openvino", engine.reason)
                return _transformers(spec, cache, name, engine.loaded)
    return _transformers(spec, cache, name)


def prepare(spec: TextModelSpec, cache: Path, *, events: Events) -> str:
    """Convert the weights for openvino ahead of `load_engine`, which does so otherwise; what has failed is tried again.

    Returns:
        The reason why transformers will serve them; empty if openvino will, or if it is not meant to.

    Raises:
        SourceError: the weights that the sources have cannot be used.
        NoSourceError: no source has them.
    """
    if meant_engine(spec) != "openvino" or not _has_openvino():
        return ""
    try:
        found = find_gguf(spec, cache, events=events)
        if isinstance(found, NoGguf):
            converted = convert_weights(spec, cache, events=events, again=True)
            return converted.reason if isinstance(converted, Unconverted) else ""
        export_ir(found.folder / str(found.gguf), cache, WeightLimit.of(spec).max_bytes, again=True)
    except NotConvertibleError as error:
        return error.reason
    return ""


def _openvino(spec: TextModelSpec, cache: Path, name: str) -> LoadedEngine | Unconverted:
    events = log.SourceEvents()
    found = find_gguf(spec, cache, events=events)
    if isinstance(found, NoGguf):
        converted = convert_weights(spec, cache, events=events)
        if isinstance(converted, Unconverted):
            return converted
        return _in_process(spec, name, converted.name, converted.path, converted.context, converted.recommended)
    file, limit = found.folder / str(found.gguf), WeightLimit.of(spec).max_bytes
    try:
        model = export_ir(file, cache, limit)
    except ExportError as error:
        log.not_exported(name, error.reason)
        model = prepare_gguf(file, cache, limit)
    return _in_process(spec, name, found.name, model.path, model.context, _recommended(file))


def _in_process(
    spec: TextModelSpec, name: str, weights: str, file: Path, context: int, recommended: Mapping[str, Any]
) -> LoadedEngine:
    arguments = {
        "file": file,
        "context": context,
        "capacity": spec.max_ongoing_requests,
        "threads": spec.threads,
        "chat": spec.chat,
        "long_prompt": spec.long_prompt,
        "lookup": PromptLookup(spec.speculation.prompt_lookup_tokens, spec.speculation.max_ngram_size),
    }
    config = EngineConfig("deployments.generation.openvino:OpenVINOGenerator", arguments, _WARM_UP)
    return LoadedEngine(ProcessGenerator(name, config), weights, recommended)


def _recommended(file: Path) -> Mapping[str, Any]:
    try:
        return recommended_sampling(file)
    except OSError as error:
        raise SourceError(f"{file.name} cannot be read: {error.strerror}") from error


def _transformers(spec: TextModelSpec, cache: Path, name: str, found: LoadedModel | None = None) -> LoadedEngine:
    from deployments.sources.acquire import acquire
    from deployments.sources.serialization import cast_weights

    if spec.speculation.prompt_lookup_tokens:
        log.engine_not_used(name, "prompt lookup", "transformers has none for requests that share a batch")
    machine = Machine.here()
    device = choose_device(spec.device, machine)
    configure_torch(device, spec.threads)
    dtype = choose_dtype(spec.dtype, device, machine)
    loaded = cast_weights(found, dtype) if found else acquire(spec, cache, dtype, events=log.SourceEvents())

    # Imported here and not before: while a snapshot is verified, another thread already loads what these import.
    from deployments.generation.continuous import ContinuousGenerator
    from deployments.generation.prompts import PromptTokenizer
    from deployments.generation.transformers import TransformersGenerator

    model = loaded.model.to(device)
    context = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 20)
    tokenizer = PromptTokenizer(loaded.tokenizer, context, chat=spec.chat, long_prompt=spec.long_prompt)
    alone = TransformersGenerator(model, tokenizer, concurrency=spec.concurrency)
    try:
        batched = ContinuousGenerator(
            model, tokenizer, alone, capacity=spec.max_ongoing_requests, gpu_share=spec.num_gpus
        )
        generator: ContinuousGenerator | TransformersGenerator = batched
        batched.warm_up(*_WARM_UP)
    except CannotLoadError as error:
        log.engine_not_used(name, "transformers' continuous batching", str(error))
        generator = alone
        alone.warm_up(*_WARM_UP)
    return LoadedEngine(generator, loaded.name, model.generation_config.to_diff_dict())
