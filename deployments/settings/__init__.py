"""Everything that can be configured: frozen pydantic models that refuse unknown keys.

`policy` is what people tune while the service runs, `specs` what a model or the backup is, `sources` where
weights come from, `files` reads them from YAML, and `findings` turns what does not fit into faults that name file and
key.
"""

from deployments.settings.errors import Fault, SettingsError
from deployments.settings.file_specs import FileSpec, PickleSpec, PyTorchSpec, TensorSpec
from deployments.settings.files import digest, load, parse, resolve, root
from deployments.settings.policy import PolicySettings
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
