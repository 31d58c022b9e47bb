"""`neverblank check`: what is wrong with the configuration, without Ray."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from deployments.settings import (
    BackupSpec,
    FileSpec,
    HuggingFaceSpec,
    PolicySettings,
    PythonSpec,
    SettingsError,
    load,
    load_backup,
    load_model,
    parse,
    resolve,
)

Files = Annotated[list[Path] | None, typer.Argument(help="Serve configs and specs; without any, serve_config.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what would be loaded as JSON.")]

_errors = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be loaded.

    Attributes:
        name: the model's.
        format: its spec's.
        source: the sources in their order.
        device: as the spec wants it.
        replicas: from, to.
    """

    name: str
    format: str
    source: str
    device: str
    replicas: str


def check(files: Files = None, *, as_json: AsJson = False) -> None:
    """Validate Serve configs and specs without starting anything.

    Every error names file, key, what is wrong and what is accepted. Exit code 1: there is one.
    """
    planned: list[Planned] = []
    faults: list[SettingsError] = []
    for file in files or [Path("serve_config.yaml")]:
        for found in examine(file):
            (faults if isinstance(found, SettingsError) else planned).append(found)  # type: ignore[arg-type]
    for fault in faults:
        _errors.print(str(fault), style="red", markup=False)
    if as_json:
        typer.echo(json.dumps([asdict(plan) for plan in planned], indent=2))
    elif planned:
        Console().print(_table(planned))
    if faults:
        raise typer.Exit(1)


def require_valid(config: Path) -> None:
    """Raise the first `SettingsError` of `config`."""
    for found in examine(config):
        if isinstance(found, SettingsError):
            raise found


def examine(file: Path) -> Iterator[Planned | SettingsError]:
    """What `file`, a Serve config or a spec, would load, and what is wrong with it."""
    try:
        data = yaml.safe_load(resolve(str(file)).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        yield SettingsError(str(file), "", f"cannot be read ({type(error).__name__})", "a YAML file")
        return
    if isinstance(data, dict) and "applications" in data:
        yield from _examine_config(str(file), data)
        return
    loaders = {"format": load_model, "sources": load_backup}
    loader = next((load for key, load in loaders.items() if isinstance(data, dict) and key in data), None)
    yield from _tried(lambda: _plan(loader(str(file)) if loader else load(PolicySettings, str(file))))


def _examine_config(file: str, data: dict[str, Any]) -> Iterator[Planned | SettingsError]:
    for place, application in enumerate(data["applications"] or []):
        arguments = application.get("args", {})
        where = f"{file}: applications.{place}.args"
        match application.get("import_path"):
            case "deployments.app:build":
                yield from _tried(lambda arguments=arguments: _plan(load_backup(arguments.get("backup", _BACKUP))))
                yield from _tried(lambda application=application: _plan(_policy(file, application)))
            case "deployments.app:build_model" if "spec" in arguments:
                yield from _tried(lambda arguments=arguments: _plan(load_model(arguments["spec"])))
                yield from _named_alike(where, application)
            case "deployments.app:build_model":
                yield SettingsError(where, "spec", "is missing", "the file of a model's spec")


def _policy(file: str, application: dict[str, Any]) -> PolicySettings:
    policy: PolicySettings = load(PolicySettings, application.get("args", {}).get("policy", _POLICY))
    for deployment in application.get("deployments", []):
        if deployment.get("name") == "Router":
            overlay = deployment.get("user_config") or {}
            parse(PolicySettings, policy.with_overrides(overlay, {}).model_dump(exclude_unset=True), file)
    return policy


def _named_alike(where: str, application: dict[str, Any]) -> Iterator[SettingsError]:
    try:
        spec = load_model(application["args"]["spec"])
    except SettingsError:
        return  # told already
    if spec.id != application.get("name"):
        yield SettingsError(where, "spec", f"is of model {spec.id!r}", f"the application's name, {spec.id!r}")


def _tried(plan: Any) -> Iterator[Planned | SettingsError]:
    try:
        if (planned := plan()) is not None:
            yield planned
    except SettingsError as error:
        yield error


def _plan(spec: Any) -> Planned | None:
    match spec:
        case FileSpec():
            return Planned(spec.id, spec.format, spec.path, spec.device, _replicas(spec))  # type: ignore[attr-defined]
        case PythonSpec():
            return Planned(spec.id, spec.format, spec.target, spec.device, _replicas(spec))
        case HuggingFaceSpec() | BackupSpec():
            name = spec.id if isinstance(spec, HuggingFaceSpec) else f"{spec.name} (backup)"
            sources = ", then ".join(source.kind for source in spec.sources)
            return Planned(name, "huggingface", sources, spec.device, _replicas(spec))
        case _:
            return None


def _replicas(spec: Any) -> str:
    return (
        str(spec.replicas.min) if spec.replicas.min == spec.replicas.max else f"{spec.replicas.min}-{spec.replicas.max}"
    )


def _table(planned: list[Planned]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("model", "format", "source", "device", "replicas"):
        table.add_column(column)
    for plan in planned:
        table.add_row(plan.name, plan.format, plan.source, plan.device, plan.replicas)
    return table


_BACKUP, _POLICY = "configs/backup.yaml", "configs/policy.yaml"
