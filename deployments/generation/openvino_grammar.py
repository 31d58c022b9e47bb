"""Grammars as OpenVINO takes them: what `StructuredOutputConfig` holds a text to. xgrammar compiles it."""

import json
from functools import lru_cache
from typing import Any

import openvino_genai as genai

from deployments.generation import Prompt
from deployments.generation.grammar import Grammar, GrammarError, JsonGrammar, TagGrammar
from deployments.generation.xgrammar_schema import MAX_BYTES, write_schema


def structured_output(grammar: Grammar, prompt: Prompt) -> Any:
    """What holds the answer to `prompt` to `grammar`.

    OpenVINO begins a grammar with the first token that it writes: a JSON text that somebody else has begun cannot be
    continued. Free text can, as the tags in it have a beginning of their own.

    Raises:
        GrammarError: OpenVINO cannot hold the text to it.
    """
    if isinstance(grammar, JsonGrammar) and prompt.prefix.strip():
        raise GrammarError("the engine cannot continue a JSON text that has been begun")
    config = genai.StructuredOutputConfig()
    config.structural_tags_config = _structural_tag(grammar)
    return config


@lru_cache(maxsize=128)
def _structural_tag(grammar: Grammar) -> str:
    """The grammar as xgrammar's structural tag, which is JSON."""
    return json.dumps({"type": "structural_tag", "format": _format(grammar)})


def _format(grammar: Grammar) -> dict[str, Any]:
    if isinstance(grammar, JsonGrammar):
        return _json_schema(grammar.schema)
    tags = [
        {"type": "tag", "begin": tag.begin, "content": _json_schema(tag.schema), "end": tag.end} for tag in grammar.tags
    ]
    if (size := len(json.dumps(tags))) > MAX_BYTES:
        raise GrammarError(f"the tags are too large for the engine: {size} bytes; accepted: {MAX_BYTES}")
    return {
        "type": "triggered_tags",
        "triggers": _shortest(grammar),
        "tags": tags,
        "at_least_one": grammar.at_least_one,
        "stop_after_first": grammar.stop_after_first,
    }


def _json_schema(schema: str) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": write_schema(schema)}


def _shortest(grammar: TagGrammar) -> list[str]:
    """The triggers that no other trigger begins: xgrammar takes tags that one trigger opens, and no more."""
    triggers = dict.fromkeys(grammar.triggers)
    return [each for each in triggers if not any(each != other and each.startswith(other) for other in triggers)]
