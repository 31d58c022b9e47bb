"""Everything that can be configured: frozen pydantic models that refuse unknown keys.

May import: policy.

    policy.py          what people tune while the service runs; its sections are the dataclasses of the room `policy`
    responses.py       where responses are kept
    access.py          who may ask, and what tokens cost; keys.py: the file of the keys
    remotes.py         models behind OpenAI-compatible upstreams
    specs.py           a model, a pool of models, the backup; file_specs.py: models that are a file
    server_specs.py    models behind a server that the replica runs
    serving.py         how a model is served; sources.py: where its weights come from; embedding.py: vectors
    applications.py    the applications of a Serve config; offer.py: what their models offer
    credentials.py     which variables hold credentials, by their names
    files.py           reads all of them from YAML
    findings.py        everything that does not fit, as faults that name file and key: errors.py
    reference.py       makes docs/configuration.md
"""

from deployments.settings.embedding import EmbeddingSettings
from deployments.settings.errors import Fault, SettingsError
from deployments.settings.file_specs import FileSpec, PickleSpec, PyTorchSpec, TensorSpec
from deployments.settings.files import digest, load, parse, resolve, root
from deployments.settings.policy import PolicySettings
from deployments.settings.server_specs import ServerSpec
from deployments.settings.serving import Replicas, ServingSpec
from deployments.settings.sources import HubSource, PathSource, Source, WheelSource
from deployments.settings.specs import (
    BackupSpec,
    GenerationDefaults,
    HuggingFaceSpec,
    ModelSpec,
    PoolSpec,
    PythonSpec,
    TextModelSpec,
    WeightLimit,
    read_backup_spec,
    read_model_spec,
    read_pool_spec,
)

__all__ = [
    "BackupSpec",
    "EmbeddingSettings",
    "Fault",
    "FileSpec",
    "GenerationDefaults",
    "HubSource",
    "HuggingFaceSpec",
    "ModelSpec",
    "PathSource",
    "PickleSpec",
    "PolicySettings",
    "PoolSpec",
    "PyTorchSpec",
    "PythonSpec",
    "Replicas",
    "ServerSpec",
    "ServingSpec",
    "SettingsError",
    "Source",
    "TensorSpec",
    "TextModelSpec",
    "WeightLimit",
    "WheelSource",
    "digest",
    "load",
    "parse",
    "read_backup_spec",
    "read_model_spec",
    "read_pool_spec",
    "resolve",
    "root",
]
