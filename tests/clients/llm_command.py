"""`llm`, the command, with models declared as its page for OpenAI-compatible ones says."""

from pathlib import Path

import pytest

from tests.clients.command import output_of

MODELS = """
- {{model_id: small, model_name: smollm2, api_base: "{url}/v1"}}
- {{model_id: able, model_name: able, api_base: "{url}/v1", supports_schema: true, supports_tools: true}}
"""


def say(url: str, folder: Path, *arguments: str) -> str:
    (folder / "extra-openai-models.yaml").write_text(MODELS.format(url=url))
    return output_of("llm", *arguments, LLM_USER_PATH=str(folder), OPENAI_API_KEY="none")


@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["stream", "whole"])
def test_prompt(url: str, tmp_path: Path, how: list[str]) -> None:
    assert say(url, tmp_path, "-m", "small", *how, "-o", "max_tokens", "16", "Say hello.").strip()


def test_schema(url: str, tmp_path: Path) -> None:
    said = say(url, tmp_path, "-m", "able", "--schema", "name, inhabitants int", "'Paris' has 2102650 inhabitants.")

    assert '"Paris"' in said
    assert "2102650" in said
