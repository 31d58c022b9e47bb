"""Examines a Serve config or a spec: what it would load, and everything that is wrong with it. Nothing is loaded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deployments.cli.lock import examine_lock, names_in
from deployments.formats.engines import meant_engine
from deployments.ray_serve.names import ROUTER_DEPLOYMENT
from deployments.ray_serve.serve_config import is_serve_config, list_applications, read_yaml
from deployments.settings import (
    BackupSpec,
    FileSpec,
    HuggingFaceSpec,
    ModelSpec,
    PolicySettings,
    PythonSpec,
    ServerSpec,
    SettingsError,
    TextModelSpec,
    load,
    read_backup_spec,
    read_model_spec,
    read_pool_spec,
)
from deployments.settings.applications import AppArguments, ModelArguments, PoolArguments, read_arguments
from deployments.settings.serving import ServingSpec
from deployments.sources.errors import ModelTooLargeError
from deployments.sources.model_file import ModelFileError
from deployments.sources.sizes import ModelSize, size_of_file, size_of_gguf, size_of_weights

TORCH_PROCESS_BYTES = 480_000_000
"""Memory of a replica with torch and transformers beside its weights: measured, proportional set size."""

OPENVINO_PROCESS_BYTES = 480_000_000
"""The same of a replica with OpenVINO and of its engine's process; a quarter of it is the replica's own."""

PLAIN_PROCESS_BYTES = 120_000_000
"""The same of a replica without torch."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A model, or the backup, that would be loaded.

    Attributes:
        name: the model's; the backup's is marked.
        format: the spec's.
        source: where it would be read from, or the sources in their order where nothing is on this node yet.
        size: bytes of its weights or its file; `None` where they are not on this node, or the model reads its own.
        memory: estimated bytes of all its replicas under load, without the memory of requests; `None` as for `size`.
        device: as the spec wants it.
        replicas: how many, from and to; of a model in a pool, the pool's name.
    """

    name: str
    format: str
    source: str
    size: int | None
    memory: int | None
    device: str
    replicas: str


@dataclass(frozen=True, slots=True)
class Exposed:
    """A backup that goes with a node's loss, and the models that may go with it: on a cluster, which has other nodes.

    Attributes:
        file: the Serve config.
        names: the backup and the models.
    """

    file: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.file}: the loss of one node may take {' and '.join(self.names)} at once; "
            "replicas: {min: 2, per_node: 1} keeps one of each on another node"
        )


Finding = Planned | Exposed | SettingsError


def examine(file: Path, cache: Path) -> Iterator[Finding]:
    """Give the models that `file`, a Serve config or a spec, would load, and its faults.

    Args:
        file: its path.
        cache: the cache folder, where snapshots are looked for.
    """
    try:
        data = read_yaml(str(file))
        applications = list_applications(data, str(file)) if is_serve_config(data) else None
    except SettingsError as error:
        yield error
        return
    if applications is None:
        yield from _caught(partial(_Examination(cache).spec, str(file), data))
        return
    host = (data.get("http_options") or {}).get("host")
    examined = _Examination(cache, host, frozenset(names_in(applications, str(file))))
    for application in applications:
        yield from _caught(partial(examined.application, str(file), application))
    if data.get("proxy_location") == "EveryNode" and examined.backup_on_one_node:
        yield Exposed(str(file), tuple(examined.on_one_node))


def require_valid(config: Path, cache: Path) -> None:
    """Raise a `SettingsError` with all faults of the Serve config `config`, if it has any.

    Raises:
        SettingsError: it has some.
    """
    errors = [found for found in examine(config, cache) if isinstance(found, SettingsError)]
    if errors:
        raise SettingsError.of(fault for error in errors for fault in error.faults)


def _caught(examine: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from examine()
    except SettingsError as error:
        yield error


class _Examination:
    """Each method gives what would be loaded; what is wrong is raised as a `SettingsError`, or given beside it."""

    def __init__(self, cache: Path, host: str | None = None, listed: frozenset[str] = frozenset()) -> None:
        self._cache, self._host, self._listed = cache, host, listed
        self._names: dict[str, str] = {}
        self.on_one_node: list[str] = []
        self.backup_on_one_node = False

    def application(self, file: str, application: Mapping[str, Any]) -> Iterator[Finding]:
        match read_arguments(application, file):
            case AppArguments(policy=policy, backup=backup):
                found = list(_caught(lambda: iter([self._backup(backup)])))
                yield from found
                known = self._listed.union(each.name.split()[0] for each in found if isinstance(each, Planned))
                examine_lock(file, self._host, self._policy(policy, application), known)
            case ModelArguments() as arguments:
                spec = read_model_spec(arguments.spec)
                if spec.id != application.get("name"):
                    wrong = f"is of model {spec.id!r}"
                    raise SettingsError(f"{file}: {application.get('name')}.args", "spec", wrong, repr(spec.id))
                yield self._model(arguments.spec, spec, _count(spec))
            case PoolArguments() as arguments:
                pool, members = read_pool_spec(arguments.pool)
                for path, member in zip(pool.models, members, strict=True):
                    yield self._model(path, member, f"pool {application.get('name')}")

    def spec(self, file: str, data: Any) -> Iterator[Planned]:
        if not isinstance(data, dict):
            held = "is empty" if data is None else f"holds a {type(data).__name__}"
            raise SettingsError(file, "", held, "a Serve config, a policy, or the spec of a model, a backup or a pool")
        if "format" in data:
            spec = read_model_spec(file)
            yield self._model(file, spec, _count(spec))
        elif "sources" in data:
            yield self._backup(file)
        elif "models_per_replica" in data or isinstance(data.get("models"), list):
            for path, member in zip(data["models"], read_pool_spec(file)[1], strict=True):
                yield self._model(path, member, "pool")
        else:
            load(PolicySettings, file)

    def _backup(self, file: str) -> Planned:
        backup = read_backup_spec(file)
        if backup.replicas.per_node is None:
            self.backup_on_one_node = True
            self.on_one_node.append(f"{backup.name} (backup)")
        return self._text_model(file, f"{backup.name} (backup)", backup, _count(backup))

    def _policy(self, path: str, application: Mapping[str, Any]) -> PolicySettings:
        policy: PolicySettings = load(PolicySettings, path)
        for deployment in application.get("deployments", []):
            if deployment.get("name") == ROUTER_DEPLOYMENT:
                policy = policy.with_overrides(deployment.get("user_config") or {}, {})
        return policy

    def _model(self, file: str, spec: ModelSpec, replicas: str) -> Planned:
        if self._names.setdefault(spec.id, file) != file:
            raise SettingsError(file, "id", f"is {spec.id!r}, like that of {self._names[spec.id]}", "an id of its own")
        if spec.replicas.per_node is None:
            self.on_one_node.append(spec.id)
        if isinstance(spec, TextModelSpec):
            return self._text_model(file, spec.id, spec, replicas)
        if isinstance(spec, PythonSpec):
            return Planned(spec.id, spec.format, spec.target, None, None, spec.device, replicas)
        if isinstance(spec, ServerSpec):
            return Planned(spec.id, spec.engine, spec.model or spec.command[0], None, None, spec.device, replicas)
        return self._file_model(file, spec, replicas)

    def _file_model(self, file: str, spec: Any, replicas: str) -> Planned:
        model: FileSpec = spec
        try:
            weighed = size_of_file(model)
        except (ModelFileError, ModelTooLargeError) as error:
            raise SettingsError(file, "", str(error), "") from error
        except OSError as error:
            raise SettingsError(file, "path", f"cannot be read: {error.strerror}", "a readable file") from error
        process = PLAIN_PROCESS_BYTES if spec.format == "pickle" else TORCH_PROCESS_BYTES
        source = model.path if weighed else f"{model.path} (not on this node)"
        return _planned(model.id, spec.format, source, weighed, process, model, replicas)

    def _text_model(self, file: str, name: str, spec: TextModelSpec, replicas: str) -> Planned:
        task = spec.task if isinstance(spec, HuggingFaceSpec) else "text-generation"
        engine = meant_engine(spec) if task == "text-generation" else "transformers"
        try:
            weighed = size_of_gguf(spec, self._cache) if engine == "openvino" else None
            process = OPENVINO_PROCESS_BYTES if weighed else TORCH_PROCESS_BYTES
            weighed = weighed or size_of_weights(spec, self._cache)
        except ModelTooLargeError as error:
            raise SettingsError(file, "max_model_size_mb", error.reason, "that much, or a smaller model") from error
        source = weighed.origin if weighed else ", then ".join(source.kind for source in spec.sources)
        return _planned(name, "huggingface", source, weighed, process, spec, replicas)


def _planned(
    name: str, kind: str, source: str, weighed: ModelSize | None, process: int, spec: ServingSpec, replicas: str
) -> Planned:
    memory = None
    if weighed is not None:
        copies = 1 if weighed.shared and spec.device != "cuda" else spec.replicas.max
        memory = weighed.size * copies + process * spec.replicas.max
    return Planned(name, kind, source, weighed.size if weighed else None, memory, spec.device, replicas)


def _count(spec: ServingSpec | BackupSpec) -> str:
    replicas = spec.replicas
    return str(replicas.min) if replicas.min == replicas.max else f"{replicas.min}-{replicas.max}"
