"""`neverblank pull` and `neverblank snapshot`: gets weights ahead of time, for images and sites without a network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from deployments.cli.options import DEFAULT_CONFIG, AsJson
from deployments.formats.engines import prepare
from deployments.ray_serve.serve_config import list_applications, read_serve_config
from deployments.settings import HuggingFaceSpec, TextModelSpec, read_backup_spec, read_model_spec, read_pool_spec
from deployments.settings.applications import AppArguments, ModelArguments, PoolArguments, read_arguments
from deployments.settings.files import cache_folder
from deployments.sources.errors import NoSourceError, SourceError
from deployments.sources.housekeeping import clear_quarantine, list_snapshots, prune_snapshots, verify_snapshot

snapshot_commands = typer.Typer(no_args_is_help=True, help="The snapshots of this node: what replicas start from.")

_ConfigFile = Annotated[Path, typer.Argument(help="The Serve config whose models are meant.")]
_Again = Annotated[bool, typer.Option("--again", help="Also those that are there already.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")]

_NamedSpecs = list[tuple[str, TextModelSpec]]
"""Models with weights by their names."""

_STEPS = 3  # fetched and read, written, verified: the last two are one event
_errors = Console(stderr=True, highlight=False)


def pull(config: _ConfigFile = DEFAULT_CONFIG) -> None:
    """Fetch the weights of all models, and build the snapshots of those that have one.

    What is there already is left alone. Exit code 1: no source could give a model's weights.
    """
    _acquire(_text_models(config))


@snapshot_commands.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """Show every snapshot of this node; nothing is verified."""
    found = list_snapshots(_cache())
    if as_json:
        typer.echo(json.dumps([_facts(kept.name, kept.manifest) for kept in found], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("snapshot", "from", "dtype", "size", "licence", "made"):
        table.add_column(column, overflow="fold")
    for kept in found:
        made = kept.manifest
        if made is None:
            table.add_row(escape(kept.name), "[red]no manifest[/]")
        else:
            size, when = decimal(made.size), f"{made.created:%Y-%m-%d %H:%M}"
            table.add_row(*map(escape, (kept.name, made.origin, made.dtype, size, made.license, when)))
    Console().print(table)


@snapshot_commands.command("build")
def build_snapshots(config: _ConfigFile = DEFAULT_CONFIG, *, again: _Again = False) -> None:
    """Build the snapshots that are missing. Exit code 1: no source could give a model's weights."""
    models = [(name, spec) for name, spec in _text_models(config) if spec.keeps_snapshot]
    if again:
        for _ in prune_snapshots(_cache(), lambda source: source.snapshot in _snapshots(models)):
            pass
    _acquire(models)


@snapshot_commands.command("verify")
def verify_snapshots() -> None:
    """Read every snapshot as a replica would, its digest and all. Exit code 1: one is damaged."""
    sound = True
    for kept in list_snapshots(_cache()):
        wrong = verify_snapshot(_cache(), kept)
        sound = sound and not wrong
        typer.echo(f"{kept.name}: {wrong or 'sound'}")
    if not sound:
        raise typer.Exit(1)


@snapshot_commands.command("prune")
def prune_unused(config: _ConfigFile = DEFAULT_CONFIG, *, dry_run: _DryRun = False) -> None:
    """Remove the snapshots that no model of the config has for a source, and what was found damaged."""
    needed = _snapshots(_text_models(config))
    for name in prune_snapshots(_cache(), lambda source: source.snapshot not in needed, dry_run=dry_run):
        typer.echo(f"{'would remove' if dry_run else 'removed'} {name}")
    for name in clear_quarantine(_cache(), dry_run=dry_run):
        typer.echo(f"{'would remove' if dry_run else 'removed'} {name}")


def _snapshots(models: _NamedSpecs) -> set[str]:
    return {source.snapshot for _, spec in models for source in spec.sources if source.snapshot}


def _facts(name: str, manifest: Any) -> dict[str, Any]:
    return {"snapshot": name, "manifest": None if manifest is None else manifest.model_dump(mode="json")}


def _cache() -> Path:
    return Path(cache_folder())


def _text_models(config: Path) -> _NamedSpecs:
    """The backup and the models with weights that `config` names, each once."""
    file = str(config)
    applications = list_applications(read_serve_config(file), file)
    return [(name, spec) for application in applications for name, spec in _specs_of(application, file)]


def _specs_of(application: dict[str, Any], file: str) -> Iterator[tuple[str, TextModelSpec]]:
    match read_arguments(application, file):
        case AppArguments(backup=backup):
            yield "backup", read_backup_spec(backup)
        case ModelArguments(spec=path):
            spec = read_model_spec(path)
            if isinstance(spec, TextModelSpec):
                yield spec.id, spec
        case PoolArguments(pool=path):
            members = read_pool_spec(path)[1]
            yield from ((member.id, member) for member in members if isinstance(member, TextModelSpec))


def _acquire(models: _NamedSpecs) -> None:
    from transformers.utils.logging import disable_progress_bar

    from deployments.generation.devices import Machine, choose_device, choose_dtype
    from deployments.sources.acquire import acquire

    disable_progress_bar()  # reading takes a moment; the steps that take longer are shown here
    machine = Machine.here()
    failed = False
    columns = (
        TextColumn("{task.fields[model]}", markup=False),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_errors) as progress:
        for name, spec in models:
            shown = _Shown(progress, progress.add_task("looking", total=_STEPS, model=name))
            dtype = choose_dtype(spec.dtype, choose_device("auto", machine), machine)
            try:
                loaded = acquire(spec, _cache(), dtype, events=shown)
            except NoSourceError as error:
                failed = True
                shown.tell(str(error), 0, style="red")
            else:
                ready = f"ready: {loaded.snapshot or loaded.origin}"
                failed = not _prepared(spec, shown) or failed
                shown.tell(ready, _STEPS, style="green")
    if failed:
        raise typer.Exit(1)


def _prepared(spec: TextModelSpec, shown: "_Shown") -> bool:
    """Make the form of the weights that the engine of CPUs reads; whether that was possible, or not needed."""
    if isinstance(spec, HuggingFaceSpec) and spec.task != "text-generation":
        return True
    shown.tell("a form for the engine of CPUs", _STEPS - 1)
    try:
        reason = prepare(spec, _cache(), events=shown)
    except (SourceError, NoSourceError) as error:
        shown.tell(str(error), style="red")
        return False
    if reason:
        shown.progress.console.print(f"transformers will serve it: {reason}", style="yellow", markup=False)
    return True


@dataclass(frozen=True, slots=True)
class _Shown:
    """Shows the events of `sources` as one line of a progress display; the hub's library shows downloads by itself."""

    progress: Progress
    task: TaskID

    def tell(self, what: str, done: int | None = None, style: str = "none") -> None:
        self.progress.update(self.task, description=f"[{style}]{escape(what)}[/]", completed=done)

    def source_tried(self, source: str) -> None:
        self.tell(f"fetching {source}", 0)

    def source_loaded(self, source: str, seconds: float) -> None:
        self.tell(f"read {source} in {seconds:.1f} s; writing the snapshot", 1)

    def source_failed(self, source: str, reason: str) -> None:
        self.progress.console.print(f"{source}: {reason}", style="yellow", markup=False)

    def snapshot_built(self, name: str, size: int, seconds: float) -> None:
        self.tell(f"snapshot {name}: {decimal(size)} in {seconds:.1f} s", _STEPS)

    def conversion_begun(self, name: str) -> None:
        self.tell(f"converting for the engine of CPUs: {name}", _STEPS - 1)

    def snapshot_loaded(self, name: str, seconds: float) -> None:
        self.tell(f"snapshot {name} was read in {seconds:.1f} s", _STEPS)

    def snapshot_set_aside(self, name: str, reason: str) -> None:
        self.progress.console.print(f"snapshot {name} was damaged: {reason}", style="yellow", markup=False)

    def snapshot_not_kept(self, name: str, reason: str) -> None:
        self.progress.console.print(f"snapshot {name} could not be kept: {reason}", style="red", markup=False)

    def waiting_for_builder(self, name: str) -> None:
        self.tell(f"another process builds {name}")
