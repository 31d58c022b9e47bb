"""What is done with OpenVINO in a process of its own: it does not free all memory, and holds the interpreter lock.

    export FILE             build model, tokenizer and detokenizer out of a GGUF file, and write them in IR format
    convert FILE PROBE      the model only; print the correlation of its logits with those in the file `PROBE`

`run_child` is the side that waits; the rest of the module runs in the process.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deployments.sources.errors import ExportError, InterruptedExportError, redact

_PROGRAM = ("-m", "deployments.sources.openvino_child")
_TIMEOUT_S = 600.0
_LEAST_FREE = 64 * 1024 * 1024
"""Bytes: with less left on the disk, a failure is taken to be that of the disk."""


def run_child(*arguments: str) -> str:
    """Run one of the commands above, in a folder that one of the arguments names a file of. Returns what it printed.

    Raises:
        ExportError: it failed.
        InterruptedExportError: it took longer than ten minutes, was killed, or left too little room on the disk to say
            that the model was at fault.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        done = subprocess.run(  # noqa: S603 - no shell; every argument is ours
            [sys.executable, *_PROGRAM, *arguments],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InterruptedExportError(f"OpenVINO has not written it within {_TIMEOUT_S:g} s") from error
    if done.returncode < 0:
        raise InterruptedExportError(f"OpenVINO was ended by signal {-done.returncode} before it had written it")
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        why = f"OpenVINO cannot write it: {redact(' '.join(last))}"
        is_full = shutil.disk_usage(Path(arguments[1]).parent).free < _LEAST_FREE
        raise InterruptedExportError(why) if is_full else ExportError(why)
    return done.stdout


def _export(file: str) -> None:
    import openvino_genai as genai

    scheduling = genai.SchedulerConfig()
    scheduling.num_kv_blocks = 1
    genai.ContinuousBatchingPipeline(file, scheduling, "CPU", {"enable_save_ov_model": True})


def _export_tokenizer(file: str) -> None:
    import openvino_genai as genai

    genai.Tokenizer(file, enable_save_ov_model=True)


def _correlation(folder: Path, probe: str) -> float:
    """Of the logits of the model in `folder` with those in the file `probe`, of the token ids there."""
    import numpy as np
    import openvino

    with np.load(probe) as given:
        ids, expected = given["ids"], given["logits"]
    compiled = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    positions = np.arange(ids.shape[1], dtype=np.int64)[None]
    inputs = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": positions,
        "beam_idx": np.zeros(1, dtype=np.int32),
    }
    logits = compiled(inputs)[0].reshape(expected.shape)
    return float(np.corrcoef(logits.ravel(), expected.ravel())[0, 1])


def run_command() -> None:
    """Run the command that the arguments name."""
    match sys.argv[1:]:
        case ["export", file]:
            _export(file)
            _export_tokenizer(file)
        case ["convert", file, probe]:
            _export(file)
            sys.stdout.write(f"{_correlation(Path(file).parent, probe)}\n")
        case arguments:
            raise SystemExit(f"unknown arguments: {arguments}")


if __name__ == "__main__":
    run_command()
