"""From process start to first token, by what is loaded; and a replica of the backup, from its process to `ready`."""

import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Chart, Report, in_turn, median
from benchmarks.stage import config, serving
from deployments.observability.log import SourceEvents
from deployments.settings import read_backup_spec, resolve
from deployments.sources.acquire import acquire
from deployments.sources.gguf import NoGguf, find_gguf
from tests.service.service import ROOT, Service, eventually

ROUNDS = 3
_ALONE = "imports alone"

_CLOCK = """
import sys, time, json
started, target = float(sys.argv[1]), sys.argv[2]
def told(**stamps): print(json.dumps({name: round(at - started, 3) for name, at in stamps.items()}))
"""
_AS_SERVED = """
import asyncio
from pathlib import Path
from deployments.formats.engines import load_engine
from deployments.generation import Prompt, Sampling
from deployments.settings import read_backup_spec, resolve
imported = time.time()
spec = read_backup_spec("configs/backup.yaml").model_copy(update={"engine": target})
loaded = load_engine(spec, Path(resolve("cache")), "backup")
async def first():
    async for _ in loaded.generator.stream(Prompt("Hello"), Sampling(8, 0.0, 60.0)):
        return time.time()
told(imported=imported, first_token=asyncio.run(first()))
loaded.generator.close()
"""
_IMPORTS = """
import torch
import transformers.models.llama.modeling_llama, transformers.models.gpt2.tokenization_gpt2
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
"""
_OUR_IMPORTS = """
from pathlib import Path
from deployments.settings import read_backup_spec, resolve
from deployments.sources.acquire import acquire
from deployments.observability.log import SourceEvents
"""
_ONLY_IMPORTS = f"""{_OUR_IMPORTS}{_IMPORTS}
told(imported=time.time(), first_token=time.time())
"""
_SNAPSHOT = f"""{_OUR_IMPORTS}
spec = read_backup_spec("configs/backup.yaml")
loaded = acquire(spec, Path(resolve("cache")), "bfloat16", events=SourceEvents())
loaded.model.generate(**loaded.tokenizer("Hello", return_tensors="pt"), max_new_tokens=1)
told(imported=started, first_token=time.time())
"""
_FROM_PRETRAINED = f"""{_IMPORTS}
imported = time.time()
folder, _, file = target.partition("::")
more = {{"gguf_file": file}} if file else {{}}
tokenizer = AutoTokenizer.from_pretrained(folder, **more)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, **more)
model.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=1)
told(imported=imported, first_token=time.time())
"""


def run() -> Report:
    """SmolLM2, whatever it comes from; each start in a process of its own."""
    spec, cache = read_backup_spec("configs/backup.yaml"), Path(resolve("cache"))
    found = find_gguf(spec, cache, events=SourceEvents())
    if isinstance(found, NoGguf):
        raise RuntimeError(f"the backup has no GGUF file here: {found.reason}")  # noqa: TRY004 - not its type: what is there
    gguf = found.folder / str(found.gguf)
    with tempfile.TemporaryDirectory() as folder:
        loaded = acquire(spec, cache, "bfloat16", events=SourceEvents())
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        starts = {
            # What a snapshot's weights need is imported as it is verified: how long that takes alone is measured apart.
            _ALONE: partial(_start, _ONLY_IMPORTS, ""),
            "our snapshot": partial(_start, _SNAPSHOT, ""),
            "safetensors, from_pretrained": partial(_start, _FROM_PRETRAINED, folder),
            "GGUF, from_pretrained": partial(_start, _FROM_PRETRAINED, f"{gguf.parent}::{gguf.name}"),
            "as served: openvino": partial(_start, _AS_SERVED, "openvino"),
            "as served: transformers": partial(_start, _AS_SERVED, "transformers"),
        }
        runs = in_turn(starts, ROUNDS)
    for stamps, alone in zip(runs["our snapshot"], runs.pop(_ALONE), strict=True):
        stamps["imported"] = alone["imported"]
    rows = [_row(name, stamps) for name, stamps in runs.items()]
    rows.append(_row("a replica of the backup, until ready", _replica()))
    return Report("start", "Process start to first token", rows, Chart(("source",), ("first_token_s", "load_s"), "s"))


def _row(source: str, stamps: list[dict[str, float]]) -> dict[str, Any]:
    imported, first = (median(each[key] for each in stamps) for key in ("imported", "first_token"))
    return {"source": source, "imports_s": imported, "load_s": round(first - imported, 3), "first_token_s": first}


def _start(program: str, target: str) -> dict[str, float]:
    command = [sys.executable, "-c", _CLOCK + program, str(time.time()), target]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    stamps: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return stamps


def _replica() -> list[dict[str, float]]:
    """From the start of a backup replica's process until its model is ready, warm-up included."""
    with serving(config()) as service:
        return [{"imported": 0.0, "first_token": _restart(service)} for _ in range(ROUNDS)]


def _restart(service: Service) -> float:
    old = service.replica("neverblank:Backup")
    old.kill()
    old.wait(10)
    new = eventually(lambda: (now := service.replica("neverblank:Backup")).pid != old.pid and now)
    said = eventually(lambda: re.search(rf"pid={new.pid}\).*?({{.*\"model_ready\".*}})", service.log))
    ready = datetime.fromisoformat(json.loads(said[1])["timestamp"]).timestamp()
    service.wait_ready()
    return ready - new.create_time()
