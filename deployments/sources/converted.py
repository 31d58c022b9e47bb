"""Language models of transformers in OpenVINO's IR format, for the fast engine of CPUs: made once, kept, and verified.

    <cache>/snapshots/<name>.openvino/      model, tokenizer and detokenizer, and conversion.json, the record

The name is that of the source's snapshot; of a folder it contains a hash of the weights' sizes and times.

    write      the model as a GGUF file with matrices in Q8_0 (`gguf_writing`)
    convert    that file to IR format, by OpenVINO GenAI itself, in a process of its own
    tokenizer  by openvino-tokenizers, from that of transformers
    compare    its logits with those of transformers, and its tokens: what does not agree is not kept
    publish    the folder, with the digests of its files, by a rename

Its greedy answers agree with those of transformers until two tokens are about equally likely (decision 29).
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from deployments.settings.base import Settings
from deployments.settings.sources import PathSource, Sha256, Source
from deployments.sources.checkpoint import LoadedModel, weight_files
from deployments.sources.errors import ExportError, InterruptedExportError, SourceError, describe_error, refuse_over
from deployments.sources.events import Events
from deployments.sources.failures import earlier_failure, forget_failure, note_failure
from deployments.sources.gguf_writing import require_convertible, write_gguf
from deployments.sources.locks import node_lock
from deployments.sources.model_file import ModelFileError, resolve_model_path
from deployments.sources.openvino_child import run_child
from deployments.sources.openvino_ir import digests_of, installed_version
from deployments.sources.snapshots import file_stem

ENDING = ".openvino"
LEAST_CORRELATION = 0.99
"""Of the logits with those of transformers. Rounding to Q8_0 leaves 0.9997; a weight in the wrong place, below 0.9."""

_RECORD = "conversion.json"
_GENERATION = "generation_config.json"
_PROBE = "What is it? Ça va, 12 €!\n\tfor (i) { 你好 }"


class _Record(Settings):
    """The record of a conversion; its fields are those of the JSON file."""

    source: Source = Field(description="What the model was loaded from, with all pins.")
    model: str = Field(description="The model's name.")
    revision: str = Field(description="The exact revision; empty if the source has none.")
    context: int = Field(description="The model's context, in tokens.")
    weight_bytes: int = Field(description="Bytes of the weights.")
    correlation: float = Field(description="Of its logits with those of transformers.")
    openvino: str = Field(description="The version of OpenVINO GenAI that wrote it.")
    created: datetime = Field(description="When it was made, in UTC.")
    files: dict[str, Sha256] = Field(description="The digest of each other file.")


@dataclass(frozen=True, slots=True)
class Converted:
    """A conversion that has been verified.

    Attributes:
        path: its folder.
        context: the model's context, in tokens.
        name: the model's name.
    """

    path: Path
    context: int
    name: str

    @property
    def recommended(self) -> Mapping[str, Any]:
        """The sampling that the model recommends, by the names of requests."""
        recommended: dict[str, Any] = json.loads((self.path / _GENERATION).read_bytes())
        return recommended


class Conversions:
    """The conversions of one node, in the folder `cache`."""

    def __init__(self, cache: Path, events: Events) -> None:
        self._folder, self._events = cache / "snapshots", events

    def find(self, source: Source, limit: int) -> Converted | None:
        """The verified conversion of `source`; `None` where there is none to use.

        A damaged one is told, and removed by the next `convert`.
        """
        folder = self._path(source)
        if folder is None:
            return None
        began = time.monotonic()
        try:
            record = _Record.model_validate_json((folder / _RECORD).read_bytes())
            if record.source != source or record.openvino != installed_version() or record.weight_bytes > limit:
                return None
            found = digests_of(folder)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            self._events.snapshot_set_aside(folder.name, describe_error(error))
            return None
        found.pop(_RECORD, None)
        if found != record.files:
            self._events.snapshot_set_aside(folder.name, "its files are not those that were written")
            return None
        self._events.snapshot_loaded(folder.name, time.monotonic() - began)
        return Converted(folder, record.context, record.model)

    def convert(self, source: Source, loaded: LoadedModel, limit: int, *, again: bool = False) -> Converted:
        """Convert `loaded`, which came from `source`, and keep it. Blocks for seconds to minutes.

        Args:
            source: where the model came from.
            loaded: the model.
            limit: the most bytes of the conversion.
            again: try it although it has failed before.

        Raises:
            NotConvertibleError: the engine does not read models of its kind.
            ModelTooLargeError: the conversion is over the limit.
            ExportError: it cannot be converted or kept, or what was made does not agree with transformers; or that
                was so before.
        """
        require_convertible(loaded.model.config)
        folder = self._path(source)
        if folder is None:
            raise ExportError("the folder of its weights cannot be read")
        subject = f"{loaded.revision} within {limit}"
        if not again and (why := earlier_failure(folder, subject)):
            raise ExportError(why)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            waiting = partial(self._events.waiting_for_builder, folder.name)
            with node_lock(folder.with_name(f"{folder.name}.lock"), waiting):
                # Whoever held the lock may have tried it in vain.
                if not again and (why := earlier_failure(folder, subject)):
                    raise ExportError(why)
                return self.find(source, limit) or self._make_once(source, loaded, folder, limit, subject)
        except (OSError, NotImplementedError) as error:
            raise ExportError(f"it cannot be kept: {describe_error(error)}") from error

    def _make_once(self, source: Source, loaded: LoadedModel, folder: Path, limit: int, subject: str) -> Converted:
        """Make it; where that fails, remember it, as it would fail at every start."""
        try:
            made = self._make(source, loaded, folder, limit)
        except (OSError, NotImplementedError, MemoryError, InterruptedExportError):
            raise  # of the machine, such as a full disk
        except Exception as error:
            note_failure(folder, subject, error.reason if isinstance(error, SourceError) else describe_error(error))
            raise
        forget_failure(folder)
        return made

    def _make(self, source: Source, loaded: LoadedModel, folder: Path, limit: int) -> Converted:
        began = time.monotonic()
        self._events.conversion_begun(folder.name)
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            correlation = _write(loaded, new, limit)
            record = _Record(
                source=source,
                model=loaded.name,
                revision=loaded.revision,
                context=loaded.model.config.max_position_embeddings,
                weight_bytes=(new / "openvino_model.bin").stat().st_size,
                correlation=correlation,
                openvino=installed_version(),
                created=datetime.now(UTC),
                files=digests_of(new),
            )
            (new / _RECORD).write_text(record.model_dump_json(indent=2), encoding="utf-8")
            for earlier in self._earlier(source, folder):
                shutil.rmtree(earlier, ignore_errors=True)
            new.replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        self._events.snapshot_built(folder.name, record.weight_bytes, time.monotonic() - began)
        return Converted(folder, record.context, record.model)

    def _earlier(self, source: Source, folder: Path) -> set[Path]:
        """The conversions that `folder` replaces: of a folder of weights, those of its earlier contents too."""
        stem = re.escape(file_stem(source))
        old = re.compile(f"{stem}-[0-9a-f]{{12}}{re.escape(ENDING)}")
        others = self._folder.iterdir() if isinstance(source, PathSource) else ()
        return {folder, *(other for other in others if old.fullmatch(other.name))}

    def _path(self, source: Source) -> Path | None:
        """The folder of the conversion of `source`; `None` if it is a folder that cannot be read."""
        stem = file_stem(source)
        if isinstance(source, PathSource):
            try:
                stem = f"{stem}-{_state(resolve_model_path(source.path))}"
            except (OSError, ModelFileError):
                return None
        return self._folder / f"{stem}{ENDING}"


def conversions_in(cache: Path) -> list[tuple[Path, Source]]:
    """The folder of every conversion in `cache` whose record can be read, and its source; nothing is verified."""
    found = []
    for folder in sorted((cache / "snapshots").glob(f"*{ENDING}")):
        with suppress(OSError, ValidationError):  # one that is being written has no record yet
            found.append((folder, _Record.model_validate_json((folder / _RECORD).read_bytes()).source))
    return found


def _state(path: Path) -> str:
    """A hash that changes with the weights in a folder. Raises `OSError` if it cannot be read."""
    files = [path] if path.is_file() else [path / name for name in weight_files(file.name for file in path.iterdir())]
    stats = [(file.name, file.stat()) for file in sorted(files)]
    facts = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def _write(loaded: LoadedModel, folder: Path, limit: int) -> float:
    """Write everything but the record. Returns the correlation of the logits, which is at least `LEAST_CORRELATION`."""
    import numpy as np
    import torch

    file, probe = folder / "model.gguf", folder / "probe.npz"
    ids = loaded.tokenizer(_PROBE, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids).logits.float().numpy()
    try:
        write_gguf(loaded.model, file)
        refuse_over(limit, file.stat().st_size)
        np.savez(probe, ids=ids.numpy(), logits=logits)
        correlation = float(run_child("convert", str(file), str(probe)))
    except ValueError as error:
        raise ExportError(f"it cannot be compared with what it was made from: {describe_error(error)}") from error
    finally:
        for temporary in (file, probe):
            temporary.unlink(missing_ok=True)
    if not correlation >= LEAST_CORRELATION:
        raise ExportError(f"what was made of it does not agree: its logits correlate to {correlation:.3f} only")
    _write_tokenizer(loaded.tokenizer, folder)
    # The tokens that end an answer may be more than the tokenizer's own.
    (folder / _GENERATION).write_text(loaded.model.generation_config.to_json_string(), encoding="utf-8")
    return correlation


def _write_tokenizer(tokenizer: Any, folder: Path) -> None:
    import openvino
    from openvino_tokenizers import convert_tokenizer

    try:
        encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
        openvino.save_model(encoder, folder / "openvino_tokenizer.xml")
        openvino.save_model(decoder, folder / "openvino_detokenizer.xml")
        # Run here, as it is small: the text has what tokenizers differ in.
        tokens = openvino.compile_model(encoder, "CPU")([_PROBE])["input_ids"][0].tolist()
    except Exception as error:
        raise ExportError(f"its tokenizer cannot be converted: {describe_error(error)}") from error
    if tokens != tokenizer(_PROBE)["input_ids"]:
        raise ExportError("its tokenizer encodes differently once it is converted")
