"""lm-eval, with a task of its own: the answer of the scripted model is the one that is expected."""

import json
from pathlib import Path

import pytest

from tests.clients.command import output_of

TASK = """
task: echoed
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{target}}}}"
generation_kwargs: {{max_gen_toks: 64, until: ["nothing like this"], do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
TEXT = "The quick brown fox jumps over the lazy dog and runs away into the dark green wood."


@pytest.mark.parametrize(
    ("kind", "path"), [("local-chat-completions", "chat/completions"), ("local-completions", "completions")]
)
def test_generation(url: str, tmp_path: Path, kind: str, path: str) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"prompt": "Say it.", "target": TEXT}) + "\n")
    (tmp_path / "echoed.yaml").write_text(TASK.format(data=data))
    model = f"model=healthy,base_url={url}/v1/{path},num_concurrent=2,tokenizer_backend=None"
    output_of(
        "lm_eval",
        "run",
        *("--model", kind, "--model_args", model),
        *("--tasks", "echoed", "--include_path", str(tmp_path), "--output_path", str(tmp_path)),
        *(("--apply_chat_template",) if "chat" in kind else ()),
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path),
        OPENAI_API_KEY="none",
    )

    (report,) = tmp_path.rglob("results_*.json")
    assert json.loads(report.read_text())["results"]["echoed"]["exact_match,none"] == 1.0
