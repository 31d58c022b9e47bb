"""guidellm, which measures servers: a short load, one request at a time and four at once."""

import json
from pathlib import Path

import pytest

from tests.clients.command import output_of


@pytest.mark.parametrize("profile", ["kind=synchronous", "kind=concurrent,streams=4"], ids=["one", "four"])
def test_load(url: str, tmp_path: Path, profile: str) -> None:
    data, report = tmp_path / "data.jsonl", tmp_path / "report.json"
    lines = [{"prompt": f"Say {number}.", "output_tokens_count": 8} for number in range(8)]
    data.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    output_of(
        "guidellm",
        "run",
        *("--backend", f"kind=openai_http,target={url},model=smollm2"),
        *("--profile", profile),
        *("--constraint", "kind=max_requests,count=6"),
        *("--data", f"kind=json_file,path={data}"),
        *("--output", f"kind=json,path={report}"),
        "--disable-console-interactive",
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path),
    )

    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    counts = benchmark["metrics"]["request_totals"]
    assert (counts["successful"], counts["errored"]) == (6, 0)
